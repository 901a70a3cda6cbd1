// The output for people.

const digits = (number) => (number >= 100 ? number.toFixed(0) : number >= 1 ? number.toFixed(1) : number.toFixed(3));

export function printReport({ case: name, unit, rows, failure }) {
  console.log(`\n${name} (${unit})${failure ? `  FAILED: ${failure}` : ''}`);
  for (const { name, reason, median, p10, p90, ratio } of rows) {
    const figures = reason
      ? `  - ${reason}`
      : `${digits(median).padStart(10)}  (${digits(p10)} .. ${digits(p90)})  x ${ratio.toFixed(2)}`;
    console.log(`  ${name.padEnd(22)}${figures}`);
  }
}

export function printSizes(rows) {
  console.log('package size (bytes; a file each compressed, as servers do)');
  for (const { name, files, plain, gzip, brotli, reason } of rows) {
    if (reason) console.log(`  ${name.padEnd(38)}- ${reason}`);
    else console.log(`  ${name.padEnd(38)}${String(plain).padStart(8)}  gzip ${gzip}  brotli ${brotli}  (${files} files)`);
  }
}

export function printGoals(goals) {
  console.log('\ngoals');
  for (const { goal, value, isReached } of goals) {
    const word = isReached === null ? 'unknown' : isReached ? 'reached' : 'MISSED ';
    console.log(`  ${word}  ${goal}${value === null ? '' : `: ${digits(value)}`}`);
  }
}
