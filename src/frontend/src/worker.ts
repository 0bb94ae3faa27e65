/** The shared worker: its ports on one side, the hub on the other. */
import { Hub, type FromTab } from "./hub";
import { browser } from "./outside";

let hub: Hub | null = null;

globalThis.addEventListener("connect", (event) => {
  const [port] = (event as MessageEvent).ports;
  if (port === undefined) return;
  port.onmessage = ({ data }: MessageEvent<FromTab>) => {
    if (hub === null && data.kind === "here") hub = new Hub(browser(data.addresses));
    hub?.heard(port, data);
  };
});
