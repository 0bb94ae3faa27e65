import { spoken } from "../speech";

/** What a screen reader is told without being asked. */
export function Speaker() {
  return (
    <p class="unseen" role="status" data-testid="speaker">
      {spoken}
    </p>
  );
}
