import { known } from "../strings";
import { groups, numbers, states, type Moment, type Pair } from "./compare";
import * as strings from "./strings";

const MOST_GROUPS = 12;

/** What is between two moments. */
export function Differences({ before, after }: { readonly before: Moment; readonly after: Moment }) {
  const paths = groups(before, after, MOST_GROUPS);
  return (
    <div class="differences">
      <Table
        title={strings.LABELS.numbers}
        rows={numbers(before, after).map((pair) => ({
          name: strings.NUMBER_NAMES[pair.name],
          before: strings.value(pair.name, pair.before),
          after: strings.value(pair.name, pair.after),
          change: strings.change(pair.name, pair),
        }))}
      />
      <Table
        title={strings.LABELS.states}
        rows={states(before, after).map((pair) => ({ ...counted(pair), name: strings.stateName(pair.name) }))}
      />
      <Table
        title={strings.LABELS.paths}
        rows={paths.map((pair) => ({ ...counted(pair), name: known(pair.name) }))}
      />
    </div>
  );
}

const counted = (pair: Pair<unknown>) => ({
  before: strings.countOf(pair.before),
  after: strings.countOf(pair.after),
  change: strings.changeOf(pair),
});

interface TableProps {
  readonly title: string;
  readonly rows: readonly Readonly<Record<"name" | "before" | "after" | "change", string>>[];
}

function Table({ title, rows }: TableProps) {
  return (
    <table class="pairs">
      <caption>{title}</caption>
      <thead>
        <tr>
          <th scope="col">{strings.LABELS.what}</th>
          <th scope="col">{strings.LABELS.before}</th>
          <th scope="col">{strings.LABELS.after}</th>
          <th scope="col">{strings.LABELS.change}</th>
        </tr>
      </thead>
      <tbody>
        {rows.map(({ name, before, after, change }) => (
          <tr key={name}>
            <th scope="row">{name}</th>
            <td>{before}</td>
            <td>{after}</td>
            <td>{change}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
