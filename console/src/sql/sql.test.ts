import { describe, expect, it } from 'vitest';
import { EventReader } from './events';
import { csv, json, jsonCell, tsv, uniqueNames } from './export';
import { MAX_ENTRIES, MAX_TEXT, remember, restore, type Entry } from './history';
import { place, split, statementAt, verb } from './split';

const texts = (text: string) => split(text).map((statement) => statement.text);

describe('statements', () => {
  it('end at semicolons', () => {
    expect(texts('select 1; select 2 ;;\n select 3')).toEqual(['select 1', 'select 2', 'select 3']);
    expect(texts('  -- nothing\n /* at all */ ; ')).toEqual([]);
    expect(texts('')).toEqual([]);
  });

  it('but not within quotes', () => {
    expect(texts(`select 'a;''b;'; select "x;""y"; select E'\\';'; select e'\\\\'; select 'a\\'; select 2`)).toEqual(
      [`select 'a;''b;'`, 'select "x;""y"', `select E'\\';'`, `select e'\\\\'`, `select 'a\\'`, 'select 2']);
    expect(texts(`select name'x;y'; select 1`)).toEqual([`select name'x;y'`, 'select 1']);
  });

  it('nor within dollar quotes', () => {
    expect(texts('do $$ begin; end; $$; do $x$ $$ ; $y$ $x$; select $1; select a$b$c; select 1')).toEqual(
      ['do $$ begin; end; $$', 'do $x$ $$ ; $y$ $x$', 'select $1', 'select a$b$c', 'select 1']);
  });

  it('nor within comments and parentheses', () => {
    expect(texts('select 1 -- a; b\n + 1; /* x; /* y; */ z; */ select 2; create rule r as on insert to t do (a; b); c')).toEqual(
      ['select 1 -- a; b\n + 1', 'select 2', 'create rule r as on insert to t do (a; b)', 'c']);
  });

  it('nor within the body of a function', () => {
    const made = 'create or replace function f() returns int begin atomic select case when true then 1 end; select 2; end';
    expect(texts(`${made}; select 3`)).toEqual([made, 'select 3']);
    expect(texts('begin; select 1; end; select 2')).toEqual(['begin', 'select 1', 'end', 'select 2']);
  });

  it('survive what is not closed', () => {
    for (const open of ["select 'a; b", 'select "a; b', 'do $$ a; b', '/* a; b', "select E'\\", 'f((;']) {
      expect(split(`select 1; ${open}`).length).toBeLessThanOrEqual(2);
    }
  });

  it('know their places', () => {
    const text = 'select 1;\n\n  select 2;';
    const all = split(text);
    expect(all.map(({ from, to }) => text.slice(from, to))).toEqual(['select 1', 'select 2']);
    expect([0, 8, 9, 11, 15, 99].map((cursor) => statementAt(all, cursor)?.text)).toEqual(
      ['select 1', 'select 1', 'select 1', 'select 1', 'select 2', 'select 2']);
    expect(statementAt([], 3)).toBeNull();
  });

  it('have positions in characters, also beyond the BMP', () => {
    expect(place('select x', 8)).toBe(7);
    expect('a😀b'.slice(place('a😀b', 3))).toBe('b');
    expect(place('ab', 99)).toBe(2);
  });

  it('have a verb', () => {
    expect(['-- x\n/* y */ (select 1)', 'Insert into t', '', '1'].map(verb)).toEqual(['SELECT', 'INSERT', '', '']);
  });
});

describe('results as text', () => {
  const table = {
    columns: [{ name: 'id', type: 'int4' }, { name: 'a"b', type: 'text' }, { name: 'id', type: 'jsonb' }],
    rows: [['1', 'x,"y"\n', '{"k": 12345678901234567890}'], ['2', '', null], ['3', null, '[]']],
  };

  it('CSV tells NULL from an empty text', () => {
    expect(csv(table)).toBe('id,"a""b",id\r\n1,"x,""y""\n","{""k"": 12345678901234567890}"\r\n2,"",\r\n3,,[]\r\n');
  });

  it('JSON loses no digits and no column', () => {
    const parsed = JSON.parse(json(table));
    expect(parsed[1]).toEqual({ id: 2, 'a"b': '', id_2: null });
    expect(json(table)).toContain('12345678901234567890');
    expect(json({ columns: [], rows: [] })).toBe('[]\n');
    expect(uniqueNames(['a', 'a', 'a_2', 'a'])).toEqual(['a', 'a_2', 'a_2_2', 'a_3']);
  });

  it('JSON has numbers where a number is exact', () => {
    const cells: [string, string, string][] = [
      ['9007199254740993', 'int8', '"9007199254740993"'], ['42', 'int8', '42'], ['1.50', 'numeric', '"1.50"'],
      ['1.5', 'numeric', '1.5'], ['NaN', 'float8', '"NaN"'], ['-0.25', 'float8', '-0.25'], ['t', 'bool', 'true'],
      ['f', 'bool', 'false'], ['2026-11-26', 'date', '"2026-11-26"'],
    ];
    for (const [value, type, wanted] of cells) expect(jsonCell(value, type)).toBe(wanted);
  });

  it('the clipboard gets one line per row', () => {
    expect(tsv(table).split('\n').length).toBe(4);
    expect(tsv({ ...table, rows: table.rows.slice(1, 2) }, false)).toBe('2\t\t');
  });
});

describe('events', () => {
  it('come in any pieces', () => {
    const stream = 'event: waking\ndata: {}\n\n: still here\n\nevent: rows\r\ndata: [1,\r\ndata: 2]\r\n\r\nevent: done\ndata: {"n":1}\n\n';
    for (const size of [1, 3, 7, 1000]) {
      const reader = new EventReader();
      const all = [];
      for (let at = 0; at < stream.length; at += size) all.push(...reader.push(stream.slice(at, at + size)));
      expect(all).toEqual([{ name: 'waking', data: '{}' }, { name: 'rows', data: '[1,\n2]' }, { name: 'done', data: '{"n":1}' }]);
    }
  });
});

describe('a value of many megabytes', () => {
  it('is read in time that grows with its size, not with the square of it', () => {
    const reader = new EventReader();
    const piece = 'x'.repeat(16_384);
    const start = performance.now();
    reader.push('event: rows\ndata: ');
    for (let n = 0; n < 1000; n++) reader.push(piece);
    const [event] = reader.push('\n\n');
    expect(event?.data.length).toBe(16_384_000);
    expect(performance.now() - start).toBeLessThan(1000);
  });
});

describe('history', () => {
  const entry = (text: string): Entry => ({ at: 1, text, branch: 'main', database: 'app', took: 5, ok: true });

  it('is bounded, newest first, without repetitions', () => {
    let all: Entry[] = [];
    for (let n = 0; n < MAX_ENTRIES + 20; n++) all = remember(all, entry(`select ${n}`));
    expect(all.length).toBe(MAX_ENTRIES);
    all = remember(all, entry('select 100'));
    expect([all[0]?.text, all.length]).toEqual(['select 100', MAX_ENTRIES]);
    expect(remember(all, entry('x'.repeat(MAX_TEXT + 1)))).toEqual(all);
    for (let n = 0; n < 60; n++) all = remember(all, entry(`${n}`.padEnd(MAX_TEXT, 'x')));
    expect(all.reduce((sum, { text }) => sum + text.length, 0)).toBeLessThanOrEqual(400_000);
  });

  it('survives what a browser has stored', () => {
    for (const bad of [null, '', '{', '{}', '[1,null,{"text":1}]']) expect(restore(bad)).toEqual([]);
    expect(restore(JSON.stringify([entry('a'), 3]))).toEqual([entry('a')]);
  });
});
