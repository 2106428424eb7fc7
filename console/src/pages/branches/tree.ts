// Branches as a tree, and the tree as rows. Pure: what is drawn in branches/row.tsx is decided here.
//
//   main ●─┬─────            rails of a row: for each level above, whether its line goes on below this row
//          ├─● preview
//          │ └─● fix         (rails of `fix`: [true])
//          └─● old
import type { Branch } from '../../api/types';

export interface Node {
  branch: Branch;
  children: Node[];
  level: number;
}

export interface Row {
  branch: Branch;
  level: number;
  /** For the levels above its own parent's: whether that line passes by. */
  rails: boolean[];
  /** No sibling follows. */
  last: boolean;
  children: number;
  open: boolean;
  /** Stands here only because something below it was searched for. */
  dim: boolean;
  /** Its place among its siblings, from 1, and how many they are. */
  position: number;
  siblings: number;
}

export type Order = 'newest' | 'name';

/** Roots with everything below them. A branch whose parent is not there is a root. */
export function grow(branches: Branch[], order: Order): Node[] {
  const nodes = new Map<string, Node>(branches.map((branch) => [branch.id, { branch, children: [], level: 0 }]));
  const roots: Node[] = [];
  for (const node of nodes.values()) {
    const parent = node.branch.parent_id && nodes.get(node.branch.parent_id);
    if (parent) parent.children.push(node);
    else roots.push(node);
  }
  const before = (a: Node, b: Node) =>
    Number(b.branch.default) - Number(a.branch.default)
    || (order === 'name' ? a.branch.name.localeCompare(b.branch.name, 'en', { numeric: true }) : b.branch.created_at.localeCompare(a.branch.created_at));
  const stack = [roots];
  for (let level = stack.pop(); level; level = stack.pop()) {
    level.sort(before);
    for (const node of level) {
      for (const child of node.children) child.level = node.level + 1;
      if (node.children.length) stack.push(node.children);
    }
  }
  return roots;
}

/** How many branches are below one. */
export function below(node: Node): number {
  return node.children.reduce((sum, child) => sum + 1 + below(child), 0);
}

export function find(roots: Node[], id: string): Node | undefined {
  for (const node of roots) {
    const found = node.branch.id === id ? node : find(node.children, id);
    if (found) return found;
  }
  return undefined;
}

/** The rows that are to be seen. A search opens what it finds. */
export function rows(roots: Node[], closed: ReadonlySet<string>, search: string): Row[] {
  const wanted = search.trim().toLowerCase();
  const hits = new Map<Node, boolean>();
  const matches = (node: Node) => node.branch.name.toLowerCase().includes(wanted) || node.branch.id.includes(wanted);
  // Whether it, or something below it, is wanted.
  const look = (node: Node): boolean => {
    let any = matches(node);
    for (const child of node.children) any = look(child) || any;
    hits.set(node, any);
    return any;
  };
  if (wanted) roots.forEach(look);

  const out: Row[] = [];
  const walk = (nodes: Node[], rails: boolean[]) => {
    const shown = wanted ? nodes.filter((node) => hits.get(node)) : nodes;
    shown.forEach((node, n) => {
      const last = n === shown.length - 1;
      const open = wanted ? true : !closed.has(node.branch.id);
      out.push({ branch: node.branch, level: node.level, rails, last, children: node.children.length, open: open && node.children.length > 0, dim: wanted !== '' && !matches(node), position: n + 1, siblings: shown.length });
      if (open) walk(node.children, node.level === 0 ? [] : [...rails, !last]);
    });
  };
  walk(roots, []);
  return out;
}
