/** The busy share as a picture for the browser's tab: a bar that fills from below, marked in an alarm. */
const SIZE = 32;
const LEVELS = 16;

export class Favicon {
  #level = -1;
  #alarm = false;

  constructor(private readonly link: HTMLLinkElement) {}

  /** Draw a share from 0 to 1; only if it looks different from the last one. */
  draw(share: number, alarm: boolean): void {
    // Whatever is busy shows, and only what is full looks full.
    const level = share >= 1 ? LEVELS : share <= 0 ? 0 : Math.min(LEVELS - 1, Math.max(1, Math.round(share * LEVELS)));
    if (level === this.#level && alarm === this.#alarm) return;
    [this.#level, this.#alarm] = [level, alarm];
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = SIZE;
    const context = canvas.getContext("2d");
    if (context === null) return;
    context.beginPath();
    context.roundRect(0, 0, SIZE, SIZE, 7);
    context.clip();
    context.fillStyle = "#10202e";
    context.fillRect(0, 0, SIZE, SIZE);
    const height = (SIZE * level) / LEVELS;
    context.fillStyle = level === LEVELS ? "#d55e00" : share >= 0.75 ? "#e69f00" : "#56b4e9";
    context.fillRect(0, SIZE - height, SIZE, height);
    if (alarm) sign(context);
    this.link.type = "image/png";
    this.link.href = canvas.toDataURL("image/png");
  }
}

/** An exclamation mark that is seen on each of the colours. */
function sign(context: CanvasRenderingContext2D): void {
  context.font = `bold ${SIZE}px sans-serif`;
  context.textAlign = "center";
  context.lineWidth = 6;
  context.strokeStyle = "#10202e";
  context.fillStyle = "#ffffff";
  context.strokeText("!", SIZE / 2, 28);
  context.fillText("!", SIZE / 2, 28);
}
