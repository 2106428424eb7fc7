//! What pg_restore complained about, statement by statement, and what of it matters.
//!
//! ```text
//! pg_restore: from TOC entry 215; 1259 16390 TABLE t postgres
//! pg_restore: error: could not execute query: ERROR:  permission denied for schema s
//! Command was: ALTER TABLE s.t OWNER TO r2;
//! ```

/// Complaints that are kept; more are counted.
const MAX_KEPT: usize = 1000;

/// Longest statement that is kept, characters.
const MAX_COMMAND: usize = 300;

/// Things that only a superuser may make. They stay behind, and the report says so.
const ONLY_SUPERUSER: [&str; 5] = [
    " EVENT TRIGGER ",
    " PUBLICATION ",
    " PUBLICATION TABLE",
    " PROCEDURAL LANGUAGE ",
    " FOREIGN DATA WRAPPER ",
];

/// A statement that failed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Failure {
    /// The line about the entry of the dump.
    entry: String,
    /// What is wrong.
    message: String,
    /// The statement, shortened.
    command: String,
}

impl Failure {
    /// One line for people.
    pub(super) fn shown(&self) -> String {
        let what = if self.command.is_empty() { &self.entry } else { &self.command };
        format!("{} [{}]", self.message, what.trim())
    }
}

/// What a failure means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weight {
    /// Nothing: a setting that an older PostgreSQL does not have.
    Harmless,
    /// Something stays behind that cannot be had here.
    Note,
    /// The import is not complete.
    Fatal,
}

/// Collects complaints from lines.
#[derive(Debug, Default)]
pub(super) struct Failures {
    entry: String,
    /// The last complaint, to which further lines belong.
    open: Option<Failure>,
    notes: Vec<Failure>,
    fatal: Vec<Failure>,
    more: usize,
    /// All that were heard.
    heard: usize,
}

impl Failures {
    /// Reads a line.
    pub(super) fn line(&mut self, line: &str) {
        if let Some(entry) = line.strip_prefix("pg_restore: from TOC entry ") {
            self.close();
            entry.clone_into(&mut self.entry);
        } else if let Some(message) =
            line.strip_prefix("pg_restore: error: ").or_else(|| line.strip_prefix("pg_dump: error: "))
        {
            self.close();
            self.heard += 1;
            let message = message.strip_prefix("could not execute query: ").unwrap_or(message);
            let message = message.strip_prefix("ERROR:").unwrap_or(message).trim().to_owned();
            self.open =
                Some(Failure { entry: std::mem::take(&mut self.entry), message, command: String::new() });
        } else if line.starts_with("pg_restore: ") || line.starts_with("pg_dump: ") {
            self.close();
        } else if let (Some(open), Some(command)) = (&mut self.open, line.strip_prefix("Command was: ")) {
            open.command = command.chars().take(MAX_COMMAND).collect();
        } else if let (Some(open), Some(detail)) = (&mut self.open, line.strip_prefix("DETAIL:")) {
            open.message.push_str(&format!(" ({})", detail.trim()));
        }
    }

    fn close(&mut self) {
        let Some(failure) = self.open.take() else { return };
        let list = match weigh(&failure) {
            Weight::Harmless => return,
            Weight::Note => &mut self.notes,
            Weight::Fatal => &mut self.fatal,
        };
        if list.len() < MAX_KEPT { list.push(failure) } else { self.more += 1 }
    }

    /// What stays behind, and what failed. A program that failed without a word has failed.
    pub(super) fn finish(mut self, ok: bool, program: &str) -> (Vec<Failure>, Vec<Failure>) {
        self.close();
        if self.more > 0 {
            let message = format!("{} more complaints", self.more);
            self.fatal.push(Failure { message, ..Failure::default() });
        }
        if !ok && self.heard == 0 {
            self.fatal
                .push(Failure { message: format!("{program} failed without a word"), ..Failure::default() });
        }
        (self.notes, self.fatal)
    }
}

fn weigh(failure: &Failure) -> Weight {
    let (message, command) = (&failure.message, &failure.command);
    // A newer pg_dump begins with settings that an older server does not know.
    if command.starts_with("SET ") && message.contains("unrecognized configuration parameter") {
        return Weight::Harmless;
    }
    let forbidden = ["permission denied", "must be superuser", "must be owner", "must be able to SET ROLE"];
    let forbidden = forbidden.iter().any(|words| message.contains(words));
    let ownership = command.starts_with("ALTER ") && command.contains(" OWNER TO ");
    let no_role = message.starts_with("role \"") && message.contains("does not exist");
    let grant =
        ["GRANT ", "REVOKE ", "ALTER DEFAULT PRIVILEGES "].iter().any(|verb| command.starts_with(verb));
    if (ownership || grant) && (forbidden || no_role) {
        return Weight::Note;
    }
    let entry = format!(" {} ", failure.entry);
    // What is said of such a thing cannot be said of nothing.
    let about_it = entry.contains(" COMMENT ") && message.contains("does not exist");
    if (forbidden || about_it) && ONLY_SUPERUSER.iter().any(|kind| entry.contains(kind)) {
        return Weight::Note;
    }
    Weight::Fatal
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Vec<Failure>, Vec<Failure>) {
        let mut failures = Failures::default();
        text.lines().for_each(|line| failures.line(line));
        failures.finish(false, "pg_restore")
    }

    #[test]
    fn what_matters_is_told_from_what_does_not() {
        let (notes, fatal) = read(
            "pg_restore: connecting to database for restore\n\
             pg_restore: error: could not execute query: ERROR:  unrecognized configuration parameter \"transaction_timeout\"\n\
             Command was: SET transaction_timeout = 0;\n\
             pg_restore: creating TABLE \"s.t\"\n\
             pg_restore: from TOC entry 215; 1259 16390 TABLE t postgres\n\
             pg_restore: error: could not execute query: ERROR:  permission denied for schema s\n\
             Command was: ALTER TABLE s.t OWNER TO r2;\n\n\n\
             pg_restore: from TOC entry 9; 3466 16500 EVENT TRIGGER e postgres\n\
             pg_restore: error: could not execute query: ERROR:  permission denied to create event trigger \"e\"\n\
             HINT:  Must be superuser to create an event trigger.\n\
             Command was: CREATE EVENT TRIGGER e ON ddl_command_end\n   EXECUTE FUNCTION public.f();\n\
             pg_restore: from TOC entry 10; 0 0 COMMENT EVENT TRIGGER e postgres\n\
             pg_restore: error: could not execute query: ERROR:  event trigger \"e\" does not exist\n\
             Command was: COMMENT ON EVENT TRIGGER e IS 'x';\n\
             pg_restore: from TOC entry 7; 0 16390 TABLE DATA orders postgres\n\
             pg_restore: error: COPY failed for table \"orders\": ERROR:  new row violates check constraint\n\
             DETAIL:  Failing row contains (1).\n\
             CONTEXT:  COPY orders, line 1\n\
             pg_restore: warning: errors ignored on restore: 4\n",
        );
        assert_eq!(notes.len(), 3, "{notes:?}");
        assert_eq!(fatal.len(), 1, "{fatal:?}");
        let shown = fatal[0].shown();
        assert!(
            shown.contains("COPY failed for table \"orders\"") && shown.contains("Failing row contains (1)."),
            "{shown}"
        );
    }

    #[test]
    fn silence_is_a_failure_only_of_what_did_not_end_well() {
        assert_eq!(Failures::default().finish(false, "pg_dump").1.len(), 1);
        assert_eq!(Failures::default().finish(true, "pg_dump").1.len(), 0);
        let mut harmless = Failures::default();
        harmless.line(
            "pg_restore: error: could not execute query: ERROR:  unrecognized configuration parameter \"x\"",
        );
        harmless.line("Command was: SET x = 0;");
        assert_eq!(harmless.finish(false, "pg_restore"), (Vec::new(), Vec::new()));
    }
}
