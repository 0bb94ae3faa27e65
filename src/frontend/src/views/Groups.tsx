import { STATE_KEYS } from "../palette";
import type { Group, GroupKey } from "../groups";
import { choices, choose, sample } from "../state";
import * as strings from "../strings";
import { groupName } from "../strings-later";

const MOST_GROUPS = 40;

interface GroupsProps {
  readonly groups: readonly Group[];
  readonly by: GroupKey;
}

/** "31 × GET /report/*"; a click shows the requests of a group. */
export function Groups({ groups, by }: GroupsProps) {
  const most = groups[0]?.count ?? 1;
  const at = sample.value?.at ?? 0;
  const show = (group: Group) => choose({ group: null, filter: `${choices.value.filter} ${group.filter}`.trim() });
  return (
    <div class="scroll">
      <ul class="groups" data-testid="groups">
        {groups.slice(0, MOST_GROUPS).map((group) => (
          <li key={group.name}>
            <button type="button" onClick={() => show(group)}>
              <b>{strings.times(group.count)}</b>
              <span class="name">{groupName(group, by)}</span>
              <span class="oldest">{strings.oldestOf(group, at)}</span>
              <span class="parts" style={{ width: `${(100 * group.count) / most}%` }} aria-hidden="true">
                {[...group.states].map(([status, count]) => (
                  <span class={`part swatch-${STATE_KEYS[status]}`} style={{ flexGrow: count }} />
                ))}
              </span>
            </button>
          </li>
        ))}
      </ul>
      {groups.length > MOST_GROUPS && <p class="hint">{strings.more(groups.length - MOST_GROUPS)}</p>}
    </div>
  );
}
