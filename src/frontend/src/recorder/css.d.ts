/** Style sheets that come with a part of the page; Vite makes files of them. */
declare module "*.css";
