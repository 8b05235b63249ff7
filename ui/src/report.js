/** Shows the cost of the last operation: a summary line, and a table of its statements on demand. */
export function showReport(report) {
  const bar = document.getElementById('report');
  const [summary, body] = [bar.querySelector('summary'), bar.querySelector('tbody')];
  if (!report) {
    summary.textContent = 'the operation was not executed';
    body.replaceChildren();
    return;
  }
  const { statements, rounds, rows, dbMs, totalMs, batches } = report;
  summary.textContent =
    `${statements} SQL statements in ${rounds} rounds · ${rows} rows · ` +
    `database ${dbMs.toFixed(1)} ms · total ${totalMs.toFixed(1)} ms`;
  body.replaceChildren(
    ...batches.map(({ relation, keys, rows: rowCount, ms }) =>
      row(relation, `${keys} keys`, `${rowCount} rows`, `${ms.toFixed(2)} ms`),
    ),
  );
}

function row(...texts) {
  const line = document.createElement('tr');
  line.append(
    ...texts.map((text) => {
      const cell = document.createElement('td');
      cell.textContent = text;
      return cell;
    }),
  );
  return line;
}
