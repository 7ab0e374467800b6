/** `npm run build`: dependencies when they are missing, then dist/. */
import { setup } from './setup.mjs'

setup()
