//! Which databases are meant, and what they are called afterwards.

use std::collections::BTreeSet;

use super::source::Known;
use crate::error::{Class, Error};

/// The database that administrators connect to; everybody has one, so it cannot be imported by accident
/// and there is no room for it under this name.
pub(super) const MAINTENANCE: &str = "postgres";

/// How many names an error lists.
const MAX_LISTED: usize = 20;

/// A database there and here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) source: String,
    pub(super) target: String,
}

/// From `--database` (else the address, else all there are) to pairs.
pub(super) fn choose(all: &[Known], named: &[String], address: Option<&str>) -> Result<Vec<Pair>, Error> {
    let same = |name: &str| Pair { source: name.to_owned(), target: name.to_owned() };
    let pairs: Vec<Pair> = if !named.is_empty() {
        named.iter().map(|text| pair(all, text)).collect()
    } else if let Some(name) = address.filter(|name| *name != MAINTENANCE) {
        vec![same(name)]
    } else {
        all.iter().filter(|known| known.name != MAINTENANCE).map(|known| same(&known.name)).collect()
    };
    if pairs.is_empty() {
        return Err(Error::not_found("the source has no database but `postgres`")
            .hint("If that is what you mean, give it a name: `--database postgres=NAME`."));
    }
    let mut targets = BTreeSet::new();
    for Pair { source, target } in &pairs {
        let Some(known) = all.iter().find(|known| known.name == *source) else {
            let names: Vec<&str> = all.iter().map(|known| known.name.as_str()).take(MAX_LISTED).collect();
            return Err(Error::not_found(format!("the source has no database `{source}`"))
                .hint(format!("It has: {}.", names.join(", "))));
        };
        if known.bytes.is_none() {
            return Err(Error::new(
                Class::Refused,
                format!("you may not connect to the source's database `{source}`"),
            )
            .hint("Name those that you may with `--database`."));
        }
        if target == MAINTENANCE {
            return Err(Error::usage("a database cannot be called `postgres` here")
                .hint("Give it another name: `--database postgres=NAME`."));
        }
        if !targets.insert(target) {
            return Err(Error::usage(format!("two databases would be called `{target}`")));
        }
    }
    Ok(pairs)
}

/// `shop` or `shop=newshop`; a name with `=` in it wins.
fn pair(all: &[Known], text: &str) -> Pair {
    let split = text.rsplit_once('=').filter(|_| !all.iter().any(|known| known.name == text));
    let (source, target) = split.unwrap_or((text, text));
    Pair { source: source.to_owned(), target: target.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(named: &[&str], address: Option<&str>) -> Result<String, String> {
        let known = |name: &str, bytes| Known { name: name.into(), bytes };
        let all = [
            known("postgres", Some(1)),
            known("shop", Some(1)),
            known("a=b", Some(1)),
            known("closed", None),
        ];
        let named: Vec<String> = named.iter().map(|name| (*name).to_owned()).collect();
        let pairs = choose(&all[..3 + usize::from(address == Some("closed"))], &named, address);
        let text = |pairs: Vec<Pair>| {
            pairs.iter().map(|pair| format!("{}>{}", pair.source, pair.target)).collect::<Vec<_>>().join(" ")
        };
        pairs.map(text).map_err(|error| error.to_string())
    }

    #[test]
    fn the_choice() {
        assert_eq!(chosen(&[], Some("shop")).unwrap(), "shop>shop");
        assert_eq!(chosen(&[], None).unwrap(), "shop>shop a=b>a=b");
        assert_eq!(chosen(&[], Some("postgres")).unwrap(), "shop>shop a=b>a=b");
        assert_eq!(chosen(&["shop=x", "a=b"], Some("shop")).unwrap(), "shop>x a=b>a=b");
        assert_eq!(chosen(&["postgres=app"], None).unwrap(), "postgres>app");
    }

    #[test]
    fn refusals() {
        assert!(chosen(&["nope"], None).unwrap_err().contains("no database `nope`"));
        assert!(chosen(&["postgres"], None).unwrap_err().contains("cannot be called"));
        assert!(chosen(&["shop", "a=b=shop"], None).unwrap_err().contains("two databases"));
        assert!(chosen(&[], Some("closed")).unwrap_err().contains("may not connect"));
        assert!(choose(&[Known { name: "postgres".into(), bytes: Some(1) }], &[], None).is_err());
    }
}
