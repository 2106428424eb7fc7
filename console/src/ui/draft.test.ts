import { describe, expect, it } from 'vitest';
import { follow } from './draft';

describe('a draft', () => {
  it('takes over what was saved elsewhere, unless somebody is typing', () => {
    expect(follow({ name: 'shop' }, { name: 'shop' }, { name: 'store' })).toEqual({ name: 'store' });
    expect(follow({ name: 'sho' }, { name: 'shop' }, { name: 'store' })).toEqual({ name: 'sho' });
  });
});
