// Command lines as people write them, to words and back.

/**
 * The words of a command line, quoted as for a POSIX shell, without its expansions.
 * @param {string} line
 * @returns {string[]}
 * @throws {SyntaxError} where a quote is not closed
 */
export function split(line) {
  const words = [];
  let word = null;
  let quote = '';
  for (let i = 0; i < line.length; i += 1) {
    const char = line[i];
    if (quote === '' && /\s/.test(char)) {
      if (word !== null) words.push(word);
      word = null;
      continue;
    }
    word ??= '';
    if (char === '\\' && quote !== "'") {
      i += 1;
      if (i === line.length) throw new SyntaxError('a character is missing after the last \\');
      // Within double quotes a backslash is itself but before these.
      const escapes = quote === '' || '"\\$`'.includes(line[i]);
      word += escapes ? line[i] : `\\${line[i]}`;
    } else if (quote === '' && (char === "'" || char === '"')) {
      quote = char;
    } else if (char === quote) {
      quote = '';
    } else {
      word += char;
    }
  }
  if (quote !== '') throw new SyntaxError(`the closing ${quote} is missing`);
  if (word !== null) words.push(word);
  return words;
}

/**
 * A line that `split` takes apart into these words.
 * @param {string[]} words
 */
export function join(words) {
  return words.map(quoted).join(' ');
}

function quoted(word) {
  if (/^[\w@%+=:,./{}-]+$/.test(word)) return word;
  return `'${word.replaceAll("'", "'\\''")}'`;
}
