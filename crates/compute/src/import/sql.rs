//! The statements that make a foreign cluster ours. Each ends with an empty line: single-user mode
//! with `-j` reads up to `;\n\n`. Catalogs are named with their schema; the search path is the
//! foreign cluster's.

/// The object ID of the role that `initdb` made. It can neither be dropped nor lose its power.
const BOOTSTRAP: u32 = 10;

/// Objects below this ID are PostgreSQL's own.
const FIRST_NORMAL: u32 = 16_384;

/// Roles that reach the server's files and programs.
const REACH: &str = "('pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files')";

/// Lists the databases: name, owner, and whether clients may see them, each in hexadecimal.
pub(super) const DATABASES: &str = "SELECT concat_ws('/', \
     pg_catalog.encode(pg_catalog.convert_to(datname::text, 'UTF8'), 'hex'), \
     pg_catalog.encode(pg_catalog.convert_to(pg_catalog.pg_get_userbyid(datdba)::text, 'UTF8'), 'hex'), \
     pg_catalog.encode(pg_catalog.convert_to(CASE WHEN datistemplate OR NOT datallowconn OR datname = 'postgres' \
       THEN 'f' ELSE 't' END, 'UTF8'), 'hex')) AS dormouse_database \
     FROM pg_catalog.pg_database WHERE datname <> 'template0' ORDER BY oid;\n\n";

fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(value: &str) -> String {
    format!("E'{}'", value.replace('\\', "\\\\").replace('\'', "''"))
}

/// What is done once for the cluster.
pub(super) fn cluster(major: u16, owner: &str) -> String {
    let name = literal(owner);
    let quoted = ident(owner);
    // Single-user mode runs as the bootstrap superuser, and nobody may rename himself with ALTER ROLE.
    let mut script = format!(
        "UPDATE pg_catalog.pg_authid SET rolname = 'dormouse_admin_imported' \
           WHERE rolname = 'dormouse_admin' AND oid <> {BOOTSTRAP};\n\n\
         UPDATE pg_catalog.pg_authid SET rolname = 'dormouse_admin', rolsuper = true, rolinherit = true, \
           rolcreaterole = true, rolcreatedb = true, rolcanlogin = true, rolreplication = true, \
           rolbypassrls = true, rolconnlimit = -1, rolpassword = NULL, rolvaliduntil = NULL \
           WHERE oid = {BOOTSTRAP};\n\n\
         UPDATE pg_catalog.pg_authid SET rolsuper = false, rolreplication = false \
           WHERE oid <> {BOOTSTRAP} AND (rolsuper OR rolreplication);\n\n\
         DELETE FROM pg_catalog.pg_auth_members WHERE member <> {BOOTSTRAP} AND roleid IN \
           (SELECT oid FROM pg_catalog.pg_authid WHERE rolname IN {REACH} OR oid = {BOOTSTRAP});\n\n"
    );
    if major < 16 {
        // As in the template: before 16, whoever may create roles may hand out these.
        script.push_str(&format!(
            "UPDATE pg_catalog.pg_authid SET rolsuper = true WHERE rolname IN {REACH};\n\n"
        ));
    } else {
        script.push_str(
            "DELETE FROM pg_catalog.pg_shdepend WHERE classid = 'pg_catalog.pg_auth_members'::pg_catalog.regclass \
             AND objid NOT IN (SELECT oid FROM pg_catalog.pg_auth_members);\n\n",
        );
    }
    // Settings of the administrator's logins, and libraries that are not here.
    script.push_str(&format!(
        "DELETE FROM pg_catalog.pg_db_role_setting WHERE setrole = {BOOTSTRAP};\n\n\
         UPDATE pg_catalog.pg_db_role_setting SET setconfig = ARRAY(SELECT s FROM pg_catalog.unnest(setconfig) s \
           WHERE s !~ '^(session|local)_preload_libraries=');\n\n\
         DELETE FROM pg_catalog.pg_db_role_setting WHERE setconfig = '{{}}';\n\n\
         UPDATE pg_catalog.pg_subscription SET subenabled = false WHERE subenabled;\n\n\
         CREATE EXTENSION IF NOT EXISTS plpgsql;\n\n\
         DO $do$ BEGIN IF NOT EXISTS (SELECT FROM pg_catalog.pg_authid WHERE rolname = {name}) THEN \
           CREATE ROLE {quoted} NOLOGIN; END IF; END $do$;\n\n"
    ));
    // The owner manages the roles that came along, as if it had made them. A role that has the owner
    // as its member stays as it is: no circles.
    script.push_str(&format!(
        "DO $do$ DECLARE r record; BEGIN \
           FOR r IN SELECT rolname FROM pg_catalog.pg_authid WHERE oid >= {FIRST_NORMAL} AND rolname <> {name} \
             AND rolname !~ '^pg_' AND NOT rolsuper LOOP \
             BEGIN EXECUTE pg_catalog.format('GRANT %I TO %I WITH ADMIN OPTION', r.rolname, {name}); \
             EXCEPTION WHEN invalid_grant_operation THEN NULL; END; \
           END LOOP; END $do$;\n\n"
    ));
    script
}

/// Catalogs with an owner column, and which of their rows are objects of their own.
const OWNED: [(&str, &str, &str); 15] = [
    ("pg_namespace", "nspowner", "true"),
    ("pg_class", "relowner", "relkind IN ('r', 'p', 'v', 'm', 'f', 'S')"),
    ("pg_proc", "proowner", "true"),
    (
        "pg_type",
        "typowner",
        "(typtype IN ('b', 'd', 'e', 'r') AND typcategory <> 'A') OR (typtype = 'c' AND EXISTS \
      (SELECT FROM pg_catalog.pg_class c WHERE c.oid = typrelid AND c.relkind = 'c'))",
    ),
    ("pg_collation", "collowner", "true"),
    ("pg_conversion", "conowner", "true"),
    ("pg_operator", "oprowner", "true"),
    ("pg_opclass", "opcowner", "true"),
    ("pg_opfamily", "opfowner", "true"),
    ("pg_ts_dict", "dictowner", "true"),
    ("pg_ts_config", "cfgowner", "true"),
    ("pg_statistic_ext", "stxowner", "true"),
    ("pg_foreign_server", "srvowner", "true"),
    ("pg_publication", "pubowner", "NOT puballtables"),
    ("pg_largeobject_metadata", "lomowner", "true"),
];

/// What is done in each database: the owner gets what the bootstrap superuser had.
pub(super) fn database(owner: &str) -> String {
    let name = literal(owner);
    let each: Vec<String> = OWNED
        .iter()
        .map(|(catalog, column, filter)| {
            // Large objects may have any number, and are named by the catalog of their contents.
            let large = *catalog == "pg_largeobject_metadata";
            let (class, first) = if large { ("pg_largeobject", 0) } else { (*catalog, FIRST_NORMAL) };
            format!(
                "SELECT 'pg_catalog.{class}'::pg_catalog.regclass::oid AS class, '{catalog}' AS catalog, oid AS object \
                 FROM pg_catalog.{catalog} WHERE {column} = {BOOTSTRAP} AND oid >= {first} AND ({filter})"
            )
        })
        .collect();
    // Members of extensions stay with their extension; parts (such as the sequence of an identity
    // column) follow their whole. The columns of a partition key are parts, too, and their table is not.
    format!(
        "CREATE EXTENSION IF NOT EXISTS plpgsql;\n\n\
         UPDATE pg_catalog.pg_event_trigger SET evtenabled = 'D' WHERE evtenabled <> 'D';\n\n\
         DO $do$ DECLARE r record; BEGIN \
           PERFORM pg_catalog.set_config('search_path', 'pg_catalog', true); \
           FOR r IN SELECT CASE i.type WHEN 'statistics object' THEN 'statistics' ELSE i.type END AS kind, i.identity, \
               o.class, o.object \
             FROM ({}) o, LATERAL pg_catalog.pg_identify_object(o.class, o.object, 0) i \
             WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = o.class AND d.objid = o.object \
               AND d.objsubid = 0 AND (d.deptype IN ('e', 'i') OR (d.deptype = 'a' AND o.catalog = 'pg_class' AND i.type = 'sequence'))) LOOP \
             BEGIN EXECUTE pg_catalog.format('ALTER %s %s OWNER TO %I', r.kind, r.identity, {name}); \
             EXCEPTION WHEN OTHERS THEN RAISE WARNING 'dormouse: % % keeps its owner: %', r.kind, r.identity, SQLERRM; END; \
           END LOOP; \
           IF EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = 'public' AND nspowner = {BOOTSTRAP}) THEN \
             ALTER SCHEMA public OWNER TO pg_database_owner; END IF; \
           FOR r IN SELECT datname FROM pg_catalog.pg_database WHERE datdba = {BOOTSTRAP} AND NOT datistemplate \
             AND datname <> 'postgres' LOOP \
             EXECUTE pg_catalog.format('ALTER DATABASE %I OWNER TO %I', r.datname, {name}); \
           END LOOP; END $do$;\n\n",
        each.join(" UNION ALL ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_their_quotes() {
        let script = cluster(15, "it's \"me\"\\");
        assert!(script.contains(r#"CREATE ROLE "it's ""me""\" NOLOGIN"#), "{script}");
        assert!(script.contains(r#"rolname = E'it''s "me"\\'"#), "{script}");
    }

    #[test]
    fn each_statement_is_read_as_one() {
        for script in [cluster(15, "o"), cluster(18, "o"), database("o"), DATABASES.to_owned()] {
            for statement in script.trim_end().split(";\n\n") {
                let marks = statement.matches("$do$").count();
                assert!(marks == 0 || marks == 2, "{statement}");
            }
        }
    }
}
