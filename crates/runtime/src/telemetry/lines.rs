//! Log lines in PgBouncer's format, for those who read them with tools made for it.
//!
//! ```text
//!  2026-11-26 02:11:43.123 UTC [4711] LOG C-0x2a: app/anna@10.0.0.7:40312 login attempt: …
//! ```

use std::fmt;

use dormouse_base::clock;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Writes lines in that format.
pub(super) struct Classic;

impl<S, N> FormatEvent<S, N> for Classic
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let word = match *event.metadata().level() {
            Level::ERROR => "ERROR",
            Level::WARN => "WARNING",
            Level::INFO => "LOG",
            Level::DEBUG => "DEBUG",
            Level::TRACE => "NOISE",
        };
        let now = clock::now().strftime("%Y-%m-%d %H:%M:%S%.3f");
        write!(writer, "{now} UTC [{}] {word} ", std::process::id())?;
        ctx.field_format().format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}
