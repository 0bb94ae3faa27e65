/** What `../later.ts` brings. */
export { report } from "../report";
export { CopyText, Help } from "./Dialogs";
export { Drains } from "./Drains";
export { Groups } from "./Groups";
export { Sheet } from "./Sheet";
export { SlotMap } from "./SlotMap";
export { Travel } from "./Travel";
