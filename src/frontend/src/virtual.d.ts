/** The address of the shared worker's script; vite.config.ts gives it. */
declare module "virtual:worker" {
  const address: string;
  export default address;
}
