import { describe, expect, it } from 'vitest';
import { browserName } from './browser';

describe('a browser', () => {
  it('has a name', () => {
    const chrome = 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36';
    expect(browserName(chrome)).toBe('Chrome on Linux');
    expect(browserName(`${chrome} Edg/142.0.0.0`)).toBe('Edge on Linux');
    expect(browserName('Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:145.0) Gecko/20100101 Firefox/145.0')).toBe('Firefox on macOS');
    expect(browserName('Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1')).toBe('Safari on iOS');
    expect([browserName('curl/8.0'), browserName('')]).toEqual(['curl/8.0', 'Not known']);
  });
});
