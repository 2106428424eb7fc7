//! `dormouse init`: connection strings in a `.env`, where frameworks look for them.
//!
//! Its lines stand between two marks, and only they are written anew. A variable of the same name anywhere
//! else in the file belongs to somebody else, so then nothing is written.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::Context;
use super::connection_string::{self, Login};
use crate::args::{InProject, name};
use crate::error::Error;
use crate::ui::Table;

const BEGIN: &str = "# dormouse init: begin (these lines are written anew by `dormouse init`)";
const END: &str = "# dormouse init: end";

/// What is added to the variable's name for the connection string without the pool.
const UNPOOLED: &str = "_UNPOOLED";

/// The largest file that is changed, bytes.
const MAX_FILE: u64 = 1024 * 1024;

/// Write the connection strings of a branch into a .env file
///
/// DATABASE_URL goes through the transaction pool, DATABASE_URL_UNPOOLED does not: migrations and LISTEN
/// want that one. Other lines of the file stay as they are; the file can then be read by its owner only.
#[derive(Debug, clap::Args)]
pub(crate) struct Init {
    /// The branch, by ID or name, or PROJECT/BRANCH [default: the default branch].
    #[arg(value_parser = name)]
    branch: Option<String>,

    /// The file.
    #[arg(long, value_name = "FILE", default_value = ".env")]
    file: PathBuf,

    /// The name of the variable.
    #[arg(long, value_name = "NAME", default_value = "DATABASE_URL", value_parser = variable)]
    name: String,

    #[command(flatten)]
    login: Login,

    #[command(flatten)]
    of: InProject,
}

fn variable(text: &str) -> Result<String, String> {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let starts_well = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if starts_well && text.chars().all(good) {
        Ok(text.to_owned())
    } else {
        Err("use letters, digits and _".into())
    }
}

pub(crate) async fn run(args: &Init, cx: &Context) -> Result<(), Error> {
    let session = cx.session()?;
    let (project, branch) = (args.of.project.as_deref(), args.branch.as_deref());
    let pooled = connection_string::fetch(&session, project, branch, &args.login, true).await?;
    let direct = connection_string::fetch(&session, project, branch, &args.login, false).await?;
    let unpooled = format!("{}{UNPOOLED}", args.name);
    let variables = [(args.name.as_str(), pooled.uri.expose()), (unpooled.as_str(), direct.uri.expose())];
    let old = read(&args.file)?;
    let new = merged(&old, &variables).map_err(|taken| {
        Error::usage(format!("{} has a line for {taken} that is not mine", args.file.display()))
            .hint("Remove that line, or choose another variable with `--name`.")
    })?;
    write(&args.file, &new)
        .map_err(|error| Error::failed(format!("cannot write {}", args.file.display())).because(error))?;
    cx.ui.note("The passwords are in the file: keep it out of version control.");
    let told = serde_json::json!({"file": args.file, "variables": [args.name, unpooled]});
    cx.ui.show(&told, |_| {
        Table::fields([
            ("File", args.file.display().to_string()),
            ("Variables", format!("{}, {unpooled}", args.name)),
        ])
    })
}

fn read(path: &Path) -> Result<String, Error> {
    let cannot = |error: io::Error| Error::failed(format!("cannot read {}", path.display())).because(error);
    let about = match fs::symlink_metadata(path) {
        Ok(about) => about,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(cannot(error)),
    };
    if !about.is_file() || about.len() > MAX_FILE {
        let message = format!("{} is not an ordinary file of less than {MAX_FILE} bytes", path.display());
        return Err(Error::usage(message).hint("Name another one with `--file`."));
    }
    fs::read_to_string(path).map_err(cannot)
}

/// The text with these variables between the marks; `Err` = the name that is taken.
fn merged(old: &str, variables: &[(&str, &String)]) -> Result<String, String> {
    let (mut lines, mut own, mut at) = (Vec::new(), false, None);
    for line in old.lines() {
        match line {
            BEGIN => (own, at) = (true, Some(at.unwrap_or(lines.len()))),
            END if own => own = false,
            _ if own => {}
            _ => lines.push(line.to_owned()),
        }
    }
    if own {
        // The end mark is gone: what follows the beginning may be anybody's.
        return Err("the end of what `dormouse init` wrote".to_owned());
    }
    for line in &lines {
        let assigned =
            line.trim_start().trim_start_matches("export ").split('=').next().unwrap_or_default().trim();
        if let Some((taken, _)) = variables.iter().find(|(name, _)| *name == assigned && line.contains('=')) {
            return Err((*taken).to_owned());
        }
    }
    let mut block = vec![BEGIN.to_owned()];
    block.extend(variables.iter().map(|(name, value)| format!("{name}=\"{value}\"")));
    block.push(END.to_owned());
    let at = at.unwrap_or(lines.len());
    lines.splice(at..at, block);
    Ok(lines.join("\n") + "\n")
}

/// Writes the file whole or not at all, for its owner only.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.new", std::process::id()));
    let beside = PathBuf::from(beside);
    let written =
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&beside, path)
        });
    if written.is_err() {
        let _nothing_to_remove = fs::remove_file(&beside);
    }
    written
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn with(old: &str, url: &str) -> Result<String, String> {
        let (pooled, direct) = (format!("{url}-pooler"), url.to_owned());
        merged(old, &[("DATABASE_URL", &pooled), ("DATABASE_URL_UNPOOLED", &direct)])
    }

    #[test]
    fn its_own_lines_are_written_anew_and_others_stay() {
        let first = with("SECRET=x\n", "one").unwrap();
        assert!(
            first.starts_with("SECRET=x\n") && first.contains("DATABASE_URL=\"one-pooler\"\n"),
            "{first}"
        );
        let second = with(&format!("{first}LAST=1\n"), "two").unwrap();
        assert!(!second.contains("one") && second.ends_with("LAST=1\n"), "{second}");
        assert_eq!(second.matches(BEGIN).count(), 1);
        assert_eq!(with(&second, "two").unwrap(), second, "twice is once");
    }

    #[test]
    fn what_is_not_its_own_is_not_overwritten() {
        for line in ["DATABASE_URL=mine", "export DATABASE_URL_UNPOOLED = mine", "  DATABASE_URL=\"\""] {
            assert!(with(line, "one").is_err(), "{line}");
        }
        assert!(with("# DATABASE_URL=mine\nMY_DATABASE_URL=x\n", "one").is_ok());
        assert!(with(&format!("{BEGIN}\nDATABASE_URL=x\nOTHER=y\n"), "one").is_err(), "an open block");
    }

    #[test]
    fn the_file_is_its_owners() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".env");
        fs::write(&path, "A=1\n").unwrap();
        write(&path, "A=2\n").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left");
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("link")).unwrap();
        assert!(read(&dir.path().join("link")).is_err());
    }
}
