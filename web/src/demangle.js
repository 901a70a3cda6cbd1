// Names of Rust functions as people write them.
//
// The name section of a Rust module has mangled names. Paths are enough to find a function
// again, so generic arguments are left out, and a name that is not understood stays as
// it is.

/** A readable form of a function's name. */
export function demangle(name) {
  if (name.startsWith('_R')) return new V0(name.slice(2)).name() ?? name;
  const legacy = /^_ZN((?:\d+.+?)+)E/.exec(name);
  return legacy ? legacyPath(name.slice(3)) ?? name : name;
}

/** `7endings4trap17h0123456789abcdefE` */
function legacyPath(text) {
  const parts = [];
  while (text && text[0] !== 'E') {
    const length = /^\d+/.exec(text)?.[0];
    if (!length) return undefined;
    parts.push(text.slice(length.length, length.length + Number(length)));
    text = text.slice(length.length + Number(length));
  }
  if (/^h[0-9a-f]{16}$/.test(parts.at(-1) ?? '')) parts.pop();
  return parts.map(legacyPart).join('::');
}

const ESCAPES = { SP: '@', BP: '*', RF: '&', LT: '<', GT: '>', LP: '(', RP: ')', C: ',' };

/** `_$LT$u32$u20$as$u20$core..fmt..Debug$GT$` */
function legacyPart(part) {
  // From the left: between two escapes may stand what looks like one.
  return part
    .replace(/^_\$/, '$')
    .replace(/\$(?:u([0-9a-f]{2,6})|([A-Z]+))\$|\.\./g, (whole, hex, code) => {
      if (whole === '..') return '::';
      return hex ? String.fromCodePoint(parseInt(hex, 16)) : (ESCAPES[code] ?? whole);
    });
}

/** The grammar of RFC 2603, as far as paths go; what is skipped is parsed all the same. */
class V0 {
  #text;
  #at = 0;
  #steps = 0;

  constructor(text) {
    this.#text = text;
  }

  name() {
    try {
      return this.#path();
    } catch {
      return undefined;
    }
  }

  #next() {
    // Back references could go in circles.
    if (++this.#steps > 5000 || this.#at >= this.#text.length) throw new Error();
    return this.#text[this.#at++];
  }

  #eat(char) {
    if (this.#text[this.#at] !== char) return false;
    this.#next();
    return true;
  }

  #number62() {
    if (this.#eat('_')) return 0;
    let value = 0;
    for (;;) {
      const char = this.#next();
      if (char === '_') return value + 1;
      const digits = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ';
      value = value * 62 + digits.indexOf(char);
    }
  }

  #identifier() {
    if (this.#eat('s')) this.#number62();
    const isUnicode = this.#eat('u');
    const [length] = /^\d+/.exec(this.#text.slice(this.#at)) ?? [];
    if (length === undefined) throw new Error();
    // A number has no leading zero.
    const digits = length[0] === '0' ? '0' : length;
    this.#at += digits.length;
    this.#eat('_');
    const text = this.#text.slice(this.#at, this.#at + Number(digits));
    this.#at += Number(digits);
    return isUnicode ? text.replace(/_[^_]*$/, '') : text;
  }

  #back(parse) {
    const target = this.#number62();
    const at = this.#at;
    this.#at = target;
    const result = parse();
    this.#at = at;
    return result;
  }

  #path() {
    switch (this.#next()) {
      case 'C':
        return this.#identifier();
      case 'N': {
        const space = this.#next();
        const outer = this.#path();
        const inner = this.#identifier();
        if (space === 'C') return `${outer}::{closure}`;
        if (space === 'S') return outer;
        return `${outer}::${inner || `{${space}}`}`;
      }
      case 'M':
        this.#impl();
        return `<${this.#type()}>`;
      case 'X': {
        this.#impl();
        const type = this.#type();
        return `<${type} as ${this.#path()}>`;
      }
      case 'Y': {
        const type = this.#type();
        return `<${type} as ${this.#path()}>`;
      }
      case 'I': {
        const path = this.#path();
        while (!this.#eat('E')) this.#argument();
        return path;
      }
      case 'B':
        return this.#back(() => this.#path());
      default:
        throw new Error();
    }
  }

  #impl() {
    if (this.#eat('s')) this.#number62();
    this.#path();
  }

  #argument() {
    if (this.#eat('L')) this.#number62();
    else if (this.#eat('K')) this.#constant();
    else this.#type();
  }

  #constant() {
    if (this.#eat('B')) return this.#back(() => this.#constant());
    if (this.#eat('p')) return;
    this.#type();
    while (this.#next() !== '_');
  }

  #type() {
    const basic = {
      a: 'i8', b: 'bool', c: 'char', d: 'f64', e: 'str', f: 'f32', h: 'u8', i: 'isize', j: 'usize',
      l: 'i32', m: 'u32', n: 'i128', o: 'u128', p: '_', s: 'i16', t: 'u16', u: '()', v: '...',
      x: 'i64', y: 'u64', z: '!',
    };
    const char = this.#text[this.#at];
    if (basic[char]) return basic[this.#next()];
    switch (char) {
      case 'A':
        this.#next();
        return `[${this.#type()}; ${this.#constant() ?? '_'}]`;
      case 'S':
        this.#next();
        return `[${this.#type()}]`;
      case 'T': {
        this.#next();
        const types = [];
        while (!this.#eat('E')) types.push(this.#type());
        return `(${types.join(', ')})`;
      }
      case 'R':
      case 'Q':
        this.#next();
        if (this.#eat('L')) this.#number62();
        return `&${char === 'Q' ? 'mut ' : ''}${this.#type()}`;
      case 'P':
      case 'O':
        this.#next();
        return `*${char === 'O' ? 'mut' : 'const'} ${this.#type()}`;
      case 'F': {
        this.#next();
        if (this.#eat('G')) this.#number62();
        this.#eat('U');
        if (this.#eat('K') && !this.#eat('C')) this.#identifier();
        while (!this.#eat('E')) this.#type();
        this.#type();
        return 'fn';
      }
      case 'D': {
        this.#next();
        if (this.#eat('G')) this.#number62();
        const traits = [];
        while (!this.#eat('E')) {
          traits.push(this.#path());
          while (this.#eat('p')) {
            this.#identifier();
            this.#type();
          }
        }
        if (this.#eat('L')) this.#number62();
        return `dyn ${traits.join(' + ')}`;
      }
      case 'B':
        this.#next();
        return this.#back(() => this.#type());
      default:
        return this.#path();
    }
  }
}
