// A terminal for output: lines that keep coming, colours, and the few cursor movements
// that progress bars use. It is a log, not a screen: no program owns a height of it.
//
// `Screen` knows what stands where, without a page; `Terminal` draws it as elements. The
// text is set as text and styles by class, so that nothing a program prints is markup.

/** Lines that are kept. */
const MOST_LINES = 5000;
/** Cells of a line, after which it goes on in the next. */
const MOST_COLUMNS = 4096;
/** Cells of all lines; the oldest lines go first. */
const MOST_CELLS = 1_000_000;
/** More new lines than this at once are not read out. */
const READ_OUT = 12;

const PLAIN = Object.freeze({ colour: null, back: null, classes: '' });

/** Styles by the code that switches them on. */
const STYLES = { 1: 'bold', 2: 'dim', 3: 'italic', 4: 'underline', 7: 'inverse', 9: 'strike' };
/** Codes that switch styles off, and which. */
const ENDS = {
  22: ['bold', 'dim'],
  23: ['italic'],
  24: ['underline'],
  27: ['inverse'],
  29: ['strike'],
};

/** One line: a character and a style in each cell. */
class Line {
  cells = [];
  kind = 'stdout';
  dirty = true;
}

export class Screen {
  /** @type {Line[]} */
  lines = [new Line()];
  /** How many lines have been dropped at the top. */
  dropped = 0;
  #row = 0;
  #column = 0;
  #style = PLAIN;
  #pending = '';
  /** In all lines. */
  #cells = 0;

  /** Takes what a program writes. @param {string} text @param {string} kind */
  write(text, kind) {
    const input = this.#pending + text;
    this.#pending = '';
    let at = 0;
    while (at < input.length) {
      if (input[at] === '\x1b') {
        const length = this.#escape(input.slice(at));
        if (length === 0) {
          this.#pending = input.slice(at);
          return;
        }
        at += length;
      } else {
        const char = String.fromCodePoint(input.codePointAt(at));
        this.#put(char, kind);
        at += char.length;
      }
    }
  }

  /** Everything as text. */
  text() {
    return this.lines
      .map((line) =>
        line.cells
          .map((cell) => cell.char)
          .join('')
          .trimEnd(),
      )
      .join('\n');
  }

  /** Whether the cursor stands at the beginning of a line. */
  get atLineStart() {
    return this.#column === 0;
  }

  #put(char, kind) {
    switch (char) {
      case '\n':
        this.#column = 0;
        this.#down(1);
        return;
      case '\r':
        this.#column = 0;
        return;
      case '\b':
        this.#column = Math.max(0, this.#column - 1);
        return;
      case '\t':
        this.#column = Math.min((Math.floor(this.#column / 8) + 1) * 8, MOST_COLUMNS - 1);
        return;
    }
    if (char < ' ' || char === '\x7f') return;
    if (this.#column >= MOST_COLUMNS) {
      this.#column = 0;
      this.#down(1);
    }
    const line = this.lines[this.#row];
    const before = line.cells.length;
    while (line.cells.length < this.#column) line.cells.push({ char: ' ', style: PLAIN });
    line.cells[this.#column] = { char, style: this.#style };
    line.kind = kind;
    line.dirty = true;
    this.#column += 1;
    this.#cells += line.cells.length - before;
    if (this.#cells > MOST_CELLS) this.#drop(1);
  }

  /** Forgets lines at the top. */
  #drop(count) {
    const gone = this.lines.splice(0, Math.min(count, this.#row));
    this.#cells -= gone.reduce((sum, { cells }) => sum + cells.length, 0);
    this.dropped += gone.length;
    this.#row -= gone.length;
  }

  #down(count) {
    this.#row += Math.min(count, MOST_LINES);
    while (this.#row >= this.lines.length) this.lines.push(new Line());
    const surplus = this.lines.length - MOST_LINES;
    if (surplus > 0) this.#drop(surplus);
  }

  /** Obeys an escape sequence; its length, or 0 if its end is still to come. */
  #escape(text) {
    if (text.length < 2) return 0;
    if (']PX^_'.includes(text[1])) {
      // Titles, links and what other terminals are told: ended by BEL or ESC \.
      const end = /\x07|\x1b\\/.exec(text);
      return end === null ? (text.length > 4096 ? 2 : 0) : end.index + end[0].length;
    }
    if (text[1] !== '[') {
      // Which characters are meant, and the like.
      const whole = /^\x1b[ -/]*[0-~]/.exec(text);
      return whole ? whole[0].length : /^\x1b[ -/]*$/.test(text) && text.length < 64 ? 0 : 1;
    }
    const found = /^\x1b\[([0-9;:?]*)([ -/]*)([@-~])/.exec(text);
    if (found === null) return text.length > 64 || /^\x1b\[[^@-~]*[^ -~]/.test(text) ? 2 : 0;
    // Behind colons stands more of the same number.
    const [numbers, parts] = [found[1].split(';'), (number) => number.split(':').map(Number)];
    this.#control(found[3], numbers.map((number) => parts(number)[0]), numbers.map(parts));
    return found[0].length;
  }

  #control(command, numbers, parts) {
    const count = Math.max(1, Math.min(numbers[0] || 1, MOST_COLUMNS));
    switch (command) {
      case 'm':
        this.#style = styled(this.#style, parts);
        return;
      case 'A':
        this.#row = Math.max(0, this.#row - count);
        return;
      case 'B':
        this.#down(count);
        return;
      case 'C':
        this.#column = Math.min(this.#column + count, MOST_COLUMNS - 1);
        return;
      case 'D':
        this.#column = Math.max(0, this.#column - count);
        return;
      case 'E':
        this.#column = 0;
        this.#down(count);
        return;
      case 'F':
        this.#column = 0;
        this.#row = Math.max(0, this.#row - count);
        return;
      case 'G':
        this.#column = count - 1;
        return;
      case 'K':
        this.#erase(this.#row, numbers[0]);
        return;
      case 'J':
        this.#clear(numbers[0]);
        return;
    }
  }

  #erase(row, part) {
    const line = this.lines[row];
    const before = line.cells.length;
    line.dirty = true;
    if (part !== 1) line.cells.length = part === 2 ? 0 : Math.min(line.cells.length, this.#column);
    else line.cells.fill({ char: ' ', style: PLAIN }, 0, this.#column + 1);
    this.#cells += line.cells.length - before;
  }

  /** Below the cursor, or all: what a screen would show is not known, so all is all. */
  #clear(part) {
    if (part === 1) return;
    const first = part === 2 || part === 3 ? 0 : this.#row;
    if (first === 0) this.#column = 0;
    this.#row = first;
    const gone = this.lines.splice(first + 1);
    this.#cells -= gone.reduce((sum, { cells }) => sum + cells.length, 0);
    this.#erase(first, first === 0 ? 2 : 0);
  }
}

/** A style after the codes of an `m` sequence, each with what stands behind its colons. */
function styled(style, parts) {
  const codes = parts.map(([code]) => code);
  let next = style;
  const without = (names) =>
    next.classes.split(' ').filter((name) => name !== '' && !names.includes(name));
  for (let i = 0; i < codes.length; i += 1) {
    const code = codes[i];
    if (code === 0) next = PLAIN;
    // Kinds of underlines are one here, and the kind 0 is none.
    else if (code === 4 && parts[i][1] === 0) next = { ...next, classes: without(['underline']).join(' ') };
    else if (code in STYLES)
      next = { ...next, classes: [...without([STYLES[code]]), STYLES[code]].join(' ') };
    else if (code in ENDS) next = { ...next, classes: without(ENDS[code]).join(' ') };
    else if (code === 39) next = { ...next, colour: null };
    else if (code === 49) next = { ...next, back: null };
    else if (code === 38 || code === 48) {
      const [colour, used] = parts[i].length > 1 ? [withColons(parts[i].slice(1))] : extended(codes.slice(i + 1));
      i += used ?? 0;
      next = code === 38 ? { ...next, colour } : { ...next, back: colour };
    } else {
      const [base, part] = [
        [30, 'colour', 0],
        [90, 'colour', 8],
        [40, 'back', 0],
        [100, 'back', 8],
      ].reduce(
        (found, [first, name, bright]) =>
          code >= first && code < first + 8 ? [code - first + bright, name] : found,
        [null, ''],
      );
      if (base !== null) next = { ...next, [part]: `var(--ansi-${base})` };
    }
  }
  return next;
}

/** The colour of 38 or 48 with colons; the space of a colour, which may stand in front of it, is one here. */
function withColons(numbers) {
  const [kind, ...rest] = numbers;
  return extended(kind === 2 && rest.length > 3 ? [kind, ...rest.slice(1)] : numbers)[0];
}

/** The colour after 38 or 48, and how many numbers it took. */
function extended(numbers) {
  if (numbers[0] === 2 && numbers.length >= 4) return [rgb(numbers.slice(1, 4)), 4];
  if (numbers[0] !== 5 || numbers.length < 2) return [null, numbers.length];
  const index = Math.min(numbers[1] || 0, 255);
  if (index < 16) return [`var(--ansi-${index})`, 2];
  if (index >= 232) return [rgb(Array(3).fill(8 + 10 * (index - 232))), 2];
  const levels = [0, 95, 135, 175, 215, 255];
  const cube = index - 16;
  return [
    rgb([Math.floor(cube / 36), Math.floor(cube / 6) % 6, cube % 6].map((level) => levels[level])),
    2,
  ];
}

function rgb(parts) {
  return `rgb(${parts.map((part) => Math.min(part || 0, 255)).join(' ')})`;
}

export class Terminal {
  #element;
  #screen = new Screen();
  /** The element of each line that is shown. */
  #shown = [];
  #dropped = 0;
  /** Kept when what was written has been shown; null if all is. */
  #drawn = null;

  constructor(element) {
    this.#element = element;
  }

  /**
   * The promise is kept when the text is shown.
   * @param {string} text
   * @param {"stdout" | "stderr" | "typed" | "note"} kind
   */
  write(text, kind) {
    this.#screen.write(text, kind);
    return (this.#drawn ??= this.#schedule());
  }

  /** A line of the page's own. */
  note(text) {
    this.write(`${this.#screen.atLineStart ? '' : '\n'}\x1b[0m${text}\n`, 'note');
  }

  clear() {
    this.#screen = new Screen();
    this.#shown = [];
    this.#dropped = 0;
    this.#element.replaceChildren();
  }

  text() {
    return this.#screen.text();
  }

  #schedule() {
    // A page in the background has no frames, and still shows all when it comes back.
    const later = document.hidden ? (job) => setTimeout(job, 200) : requestAnimationFrame;
    return new Promise((shown) => {
      later(() => {
        this.#drawn = null;
        this.#draw();
        shown();
      });
    });
  }

  #draw() {
    const element = this.#element;
    const follows = element.scrollHeight - element.scrollTop - element.clientHeight < 40;
    const { lines, dropped } = this.#screen;
    for (const gone of this.#shown.splice(0, dropped - this.#dropped)) gone.remove();
    this.#dropped = dropped;
    for (const gone of this.#shown.splice(lines.length)) gone.remove();
    // A flood would keep a screen reader busy long after it is over.
    const fresh = lines.length - this.#shown.length;
    element.setAttribute('aria-live', fresh > READ_OUT ? 'off' : 'polite');
    const added = document.createDocumentFragment();
    lines.forEach((line, index) => {
      if (!line.dirty) return;
      line.dirty = false;
      this.#shown[index] ??= added.appendChild(document.createElement('div'));
      drawLine(this.#shown[index], line);
    });
    element.append(added);
    if (follows) element.scrollTop = element.scrollHeight;
  }
}

function drawLine(element, line) {
  element.className = line.kind;
  const runs = [];
  for (const { char, style } of line.cells) {
    const last = runs.at(-1);
    if (last?.style === style) last.text += char;
    else runs.push({ style, text: char });
  }
  element.replaceChildren(...runs.map(drawRun));
}

function drawRun({ style, text }) {
  if (style === PLAIN) return document.createTextNode(text);
  const span = document.createElement('span');
  span.className = style.classes;
  span.textContent = text;
  const inverse = style.classes.includes('inverse');
  const [colour, back] = inverse
    ? [style.back ?? 'var(--terminal)', style.colour ?? 'var(--ink)']
    : [style.colour, style.back];
  if (colour !== null) span.style.color = colour;
  if (back !== null) span.style.backgroundColor = back;
  return span;
}
