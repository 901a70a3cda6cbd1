// The types of the package say what its code does: `node test/types.js`. A strict program that uses
// all of it compiles; what is exported, the public members of classes, and the codes of errors
// are the same on both sides. (`test/package.js` looks at the package as it is published.)

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import * as code from '../index.js';
import * as isolation from '../sw/isolate.js';

const PACKAGE = fileURLToPath(new URL('..', import.meta.url));
const DECLARATIONS = ['index.d.ts', 'sync.d.ts'];

const parse = (path) =>
  ts.createSourceFile(path, readFileSync(join(PACKAGE, path), 'utf8'), ts.ScriptTarget.Latest, true);

/** The sources of the package. */
const sources = readdirSync(join(PACKAGE, 'src'), { recursive: true })
  .filter((name) => name.endsWith('.js'))
  .map((name) => parse(join('src', name)));

function* nodes(node) {
  yield node;
  for (const child of node.getChildren()) yield* nodes(child);
}

test('a strict program compiles', () => {
  const folder = join(PACKAGE, 'test/types');
  const { config } = ts.readConfigFile(join(folder, 'tsconfig.json'), ts.sys.readFile);
  const { fileNames, options, errors } = ts.parseJsonConfigFileContent(config, ts.sys, folder);
  const found = [...errors, ...ts.getPreEmitDiagnostics(ts.createProgram(fileNames, options))];
  assert.equal(ts.formatDiagnostics(found, { ...ts.sys, getCanonicalFileName: (name) => name, getNewLine: () => '\n' }), '');
});

/** The classes of some files by their names, with what others may see of each. */
function classes(files, isPublic) {
  const found = new Map();
  for (const file of files) {
    for (const node of nodes(file)) {
      if (!ts.isClassDeclaration(node)) continue;
      const names = node.members.filter(isPublic).map(({ name }) => name?.getText() ?? 'constructor');
      found.set(node.name.text, { names: new Set(names), text: node.getText() });
    }
  }
  return found;
}

const isPrivate = ({ name, modifiers = [] }) =>
  (name && ts.isPrivateIdentifier(name)) || modifiers.some(({ kind }) => kind === ts.SyntaxKind.PrivateKeyword);
const isInternal = (member) => /@internal/.test(ts.getJSDocCommentsAndTags(member).map((doc) => doc.getText()).join());

test('what is declared is there, and what is there is declared', () => {
  const files = DECLARATIONS.map(parse);
  const isValue = (node) => ts.isClassDeclaration(node) || ts.isFunctionDeclaration(node);
  const isExported = (node) => node.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword);
  const exported = (node) => isValue(node) && isExported(node);
  const names = (files) => new Set(files.flatMap((file) => file.statements.filter(exported)).map(({ name }) => name.text));
  assert.deepEqual(names(files), new Set(Object.keys(code)));
  assert.deepEqual(names([parse('sw/isolate.d.ts')]), new Set(Object.keys(isolation)));

  const declared = classes(files, (member) => !isPrivate(member));
  const written = classes(sources, (member) => !isPrivate(member) && !isInternal(member));
  const symbol = (name) => name.replace('[Symbol.asyncDispose]', '[asyncDispose]');
  const shared = declared.get('Primitive').names;
  const wrong = [];
  for (const [name, { names }] of declared) {
    const { names: there, text } = written.get(name);
    const expected = new Set([...names].map(symbol));
    for (const member of expected) {
      // Errors are given what they have.
      const isGiven = text.includes(`this.${member} =`) || text.includes('Object.assign(this, details)');
      if (!there.has(member) && !isGiven && member !== 'constructor') {
        wrong.push(`${name}.${member} is declared, and not there`);
      }
    }
    for (const member of there) {
      const isDeclared = expected.has(member) || shared.has(member) || member === 'constructor';
      if (!isDeclared) wrong.push(`${name}.${member} is there, and neither declared nor @internal`);
    }
  }
  assert.deepEqual(wrong, []);
});

/** The texts of all literals of a union. */
const literals = (type) =>
  [...nodes(type)].filter(ts.isStringLiteral).map(({ text }) => text);

test('the codes of errors are those that are thrown', () => {
  const file = parse('sync.d.ts');
  const union = (name) => file.statements.find((node) => ts.isTypeAliasDeclaration(node) && node.name.text === name);
  const declared = new Set([...literals(union('ErrorCode')), ...literals(union('MemoryErrorCode'))]);
  const thrown = new Set();
  for (const node of sources.flatMap((source) => [...nodes(source)])) {
    const isError = ts.isNewExpression(node) && /^(Threadwork|Memory)Error$/.test(node.expression.getText());
    const isCode = ts.isPropertyAssignment(node) && node.name.getText() === 'code';
    const value = isError ? node.arguments[0] : isCode ? node.initializer : undefined;
    if (value && ts.isStringLiteral(value)) thrown.add(value.text);
  }
  assert.deepEqual(thrown, declared);
});
