import * as strings from "../strings";

/** Leads to what the dashboard can see of its own set-up; relative to the mount, as all addresses are. */
export function Doctor() {
  return (
    <a class="doctor" href="doctor">
      {strings.LABELS.doctor}
    </a>
  );
}
