// Reads server-sent events from the chunks of a response. Pure.
//
// `EventSource` cannot POST, so the stream is read by hand.

/** One event. */
export interface ServerEvent {
  name: string;
  data: string;
}

/** Takes text as it comes, gives whole events. */
export class EventReader {
  private rest = '';
  private name = '';
  private data: string[] = [];

  /** The events that end in this chunk. */
  push(chunk: string): ServerEvent[] {
    const lines = (this.rest + chunk).split('\n');
    this.rest = lines.pop() ?? '';
    const out: ServerEvent[] = [];
    for (const raw of lines) {
      const line = raw.endsWith('\r') ? raw.slice(0, -1) : raw;
      if (line === '') {
        if (this.data.length > 0) out.push({ name: this.name || 'message', data: this.data.join('\n') });
        this.name = '';
        this.data = [];
      } else if (line.startsWith('event:')) this.name = line.slice(6).trim();
      else if (line.startsWith('data:')) this.data.push(line.slice(line[5] === ' ' ? 6 : 5));
    }
    return out;
  }
}
