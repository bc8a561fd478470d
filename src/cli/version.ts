// Where the commands find the version.
export { VERSION } from '../version.ts';
