//! Log lines in PgBouncer's format, for those who read them with tools made for it.
//!
//! ```text
//!  2026-11-26 02:11:43.123 UTC [4711] LOG C-0x2a: app/anna@10.0.0.7:40312 login attempt: …
//! ```

use std::fmt::{self, Debug, Write};

use dormouse_base::clock;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::field::RecordFields;
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

/// Writes what a line says: its message as it is, all else as `name=value`. Every login and every goodbye is a line, so
/// this looks at text as a whole where the formatter of the library goes by characters.
pub(super) struct Plain;

impl<'writer> FormatFields<'writer> for Plain {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut words = Words { writer, begun: false, result: Ok(()) };
        fields.record(&mut words);
        words.result
    }
}

struct Words<'writer> {
    writer: Writer<'writer>,
    begun: bool,
    result: fmt::Result,
}

impl Words<'_> {
    fn word(&mut self, field: &Field, value: fmt::Arguments<'_>) -> fmt::Result {
        if std::mem::replace(&mut self.begun, true) {
            self.writer.write_char(' ')?;
        }
        let mut harmless = Harmless(&mut self.writer);
        match field.name() {
            "message" => harmless.write_fmt(value),
            name => write!(harmless, "{}={value}", name.strip_prefix("r#").unwrap_or(name)),
        }
    }
}

impl Visit for Words<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if self.result.is_ok() {
            self.result = self.word(field, format_args!("{value:?}"));
        }
    }
}

/// Text without what a terminal obeys: what others say may stand in it.
struct Harmless<'a, 'writer>(&'a mut Writer<'writer>);

impl Write for Harmless<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(is_obeyed) {
            let (harmless, from) = rest.split_at(at);
            let mut from = from.chars();
            let obeyed = from.next().map(char::escape_default);
            write!(self.0, "{harmless}{}", obeyed.into_iter().flatten().collect::<String>())?;
            rest = from.as_str();
        }
        self.0.write_str(rest)
    }
}

fn is_obeyed(c: char) -> bool {
    c.is_control() && !matches!(c, '\n' | '\t')
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Kept {
        fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(line);
            Ok(line.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_has_its_message_and_fields_and_nothing_that_a_terminal_obeys() {
        let kept = Kept::default();
        let writer = kept.clone();
        let lines = tracing_subscriber::fmt::layer()
            .event_format(Classic)
            .fmt_fields(Plain)
            .with_writer(move || writer.clone());
        let subscriber = tracing_subscriber::registry().with(lines);
        tracing::subscriber::with_default(subscriber, || {
            let error = std::io::Error::other("no such thing");
            tracing::info!(place = "h:5432", count = 7, %error, "it\u{1b}[31m \u{9b}1mfails\r, Zürich\tand\nmore");
            tracing::warn!("{} closing", "C-0x2a:");
        });
        let text = String::from_utf8(kept.0.lock().clone()).unwrap();
        let words: Vec<&str> = text.split(&format!(" UTC [{}] ", std::process::id())).collect();
        let said = "LOG it\\u{1b}[31m \\u{9b}1mfails\\r, Zürich\tand\nmore place=\"h:5432\" count=7 error=no such thing\n";
        assert!(words[1].starts_with(said), "{text:?}");
        assert_eq!(words[2], "WARNING C-0x2a: closing\n");
        assert!(words[0].len() == "2026-11-26 02:11:43.123".len(), "{text:?}");
    }
}
