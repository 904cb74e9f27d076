package repotest

import "strings"

// Character is something that an owner of V1 may have done to its tables, here to those of notes and comments.
type Character struct {
	Name string
	// Postgres and SQLite are the DDL. It is empty if the database does not support such a thing.
	Postgres, SQLite Made
	// Tame says that clients see the same values as without it.
	Tame bool
}

// Made is DDL, and the DDL that undoes it.
type Made struct{ Make, Undo []string }

// Of returns the DDL for the database at url, and false if there is none.
func (c Character) Of(url string) (Made, bool) {
	made := c.Postgres
	if strings.HasPrefix(url, "sqlite:") {
		made = c.SQLite
	}
	return made, len(made.Make) > 0
}

// ofPostgres returns a trigger. when says for which event and on which table it fires, and body is the body of its
// function.
func ofPostgres(name, when, body string) Made {
	event, rest, _ := strings.Cut(when, " ON ")
	table, _, _ := strings.Cut(rest, " ")
	constraint := ""
	if strings.Contains(when, "DEFERRABLE") {
		constraint = "CONSTRAINT "
	}
	return Made{
		[]string{
			"CREATE FUNCTION own_" + name +
				"() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $own$ BEGIN " +
				body + " END $own$",
			"CREATE " + constraint + "TRIGGER own_" + name + " " + event + " ON " + rest +
				" FOR EACH ROW EXECUTE FUNCTION own_" + name + "()",
		},
		[]string{"DROP TRIGGER own_" + name + " ON " + table, "DROP FUNCTION own_" + name + "()"},
	}
}

// ofSQLite returns a trigger. when says when it fires.
func ofSQLite(name, when, body string) Made {
	return Made{
		[]string{"CREATE TRIGGER own_" + name + " " + when + " BEGIN " + body + " END"},
		[]string{"DROP TRIGGER own_" + name},
	}
}

// with adds DDL that comes before, and DDL that undoes it after the rest is undone.
func (m Made) with(before, after string) Made {
	return Made{append([]string{before}, m.Make...), append(m.Undo, after)}
}

// LateKeys is the name of the character whose foreign keys are checked at COMMIT. Until then a child row may lack its
// parent, or get another one.
const LateKeys = "keys checked at COMMIT"

// Characters are the characters on which the engine's tests and the soak run.
var Characters = []Character{
	{
		"a time of change", ofPostgres("stamp", "BEFORE INSERT OR UPDATE ON notes",
			"NEW.changed_at := clock_timestamp(); RETURN NEW;").
			with("ALTER TABLE notes ADD COLUMN changed_at timestamptz", "ALTER TABLE notes DROP COLUMN changed_at"),
		Made{},
		true,
	},
	{
		"a log", ofPostgres("log", "AFTER INSERT OR UPDATE OR DELETE ON notes",
			"INSERT INTO own_log VALUES (TG_OP); RETURN NULL;").with("CREATE TABLE own_log (what text)",
			"DROP TABLE own_log"),
		ofSQLite("log", "AFTER UPDATE ON notes", "INSERT INTO own_log VALUES ('update');").with(
			"CREATE TABLE own_log (what text)", "DROP TABLE own_log"), true,
	},
	{
		"the same row again", ofPostgres("again", "AFTER UPDATE ON notes",
			"IF pg_trigger_depth() < 2 THEN UPDATE notes SET title = title WHERE id = NEW.id; END IF; RETURN NULL;"),
		ofSQLite("again", "AFTER UPDATE ON notes", "UPDATE notes SET title = title WHERE id = NEW.id;"), true,
	},
	{
		"the same row at COMMIT", ofPostgres("late", "AFTER UPDATE ON notes DEFERRABLE INITIALLY DEFERRED",
			"IF NEW.title <> OLD.title THEN UPDATE notes SET body = body WHERE id = NEW.id; END IF; RETURN NULL;"),
		Made{},
		true,
	},
	{"a rule besides", Made{
		[]string{
			"CREATE TABLE own_ruled (id text)",
			"CREATE RULE own_also AS ON UPDATE TO notes DO ALSO INSERT INTO own_ruled VALUES (OLD.id)",
		},
		[]string{"DROP RULE own_also ON notes", "DROP TABLE own_ruled"},
	}, Made{}, true},
	{"a cascade", Made{
		[]string{
			"ALTER TABLE note_tags DROP CONSTRAINT note_tags_note_id_fkey",
			"ALTER TABLE note_tags ADD CONSTRAINT note_tags_note_id_fkey FOREIGN KEY (note_id) REFERENCES notes ON DELETE CASCADE ON UPDATE CASCADE",
		},
		[]string{
			"ALTER TABLE note_tags DROP CONSTRAINT note_tags_note_id_fkey",
			"ALTER TABLE note_tags ADD CONSTRAINT note_tags_note_id_fkey FOREIGN KEY (note_id) REFERENCES notes",
		},
	}, Made{}, true},
	{LateKeys, Made{
		[]string{
			"ALTER TABLE note_tags ALTER CONSTRAINT note_tags_note_id_fkey DEFERRABLE INITIALLY DEFERRED",
			"ALTER TABLE comments ALTER CONSTRAINT comments_note_id_fkey DEFERRABLE INITIALLY DEFERRED",
		},
		[]string{
			"ALTER TABLE note_tags ALTER CONSTRAINT note_tags_note_id_fkey NOT DEFERRABLE",
			"ALTER TABLE comments ALTER CONSTRAINT comments_note_id_fkey NOT DEFERRABLE",
		},
	}, Made{}, true},
	{
		"a publication",
		Made{[]string{"CREATE PUBLICATION own_all FOR ALL TABLES"}, []string{"DROP PUBLICATION own_all"}},
		Made{},
		true,
	},
	{"a generated column", Made{
		[]string{"ALTER TABLE notes ADD COLUMN whole text GENERATED ALWAYS AS (title || coalesce(body, '')) STORED"},
		[]string{"ALTER TABLE notes DROP COLUMN whole"},
	}, Made{}, true},
	{
		"upper case", ofPostgres("upper", "BEFORE INSERT OR UPDATE ON notes",
			"NEW.title := upper(NEW.title); RETURN NEW;"),
		ofSQLite("upper", "AFTER UPDATE ON notes", "UPDATE notes SET title = upper(title) WHERE id = NEW.id;"), false,
	},
	{
		"another row", ofPostgres("partner", "AFTER UPDATE ON notes",
			"IF pg_trigger_depth() < 2 THEN UPDATE notes SET body = 'beside ' || NEW.id WHERE id = 'b' AND NEW.id <> 'b'; END IF; RETURN NULL;"),
		ofSQLite("partner", "AFTER UPDATE ON notes WHEN NEW.id <> 'b'",
			"UPDATE notes SET body = 'beside ' || NEW.id WHERE id = 'b';"), false,
	},
	{
		"another entity", ofPostgres("tell", "AFTER INSERT OR UPDATE ON comments",
			"UPDATE notes SET body = NEW.words WHERE id = NEW.note_id; RETURN NULL;"),
		ofSQLite("tell", "AFTER UPDATE ON comments", "UPDATE notes SET body = NEW.words WHERE id = NEW.note_id;"),
		false,
	},
	{
		"a row that stays", ofPostgres("stay", "BEFORE DELETE ON notes",
			"IF OLD.id = 'b' THEN RETURN NULL; END IF; RETURN OLD;"),
		ofSQLite("stay", "BEFORE DELETE ON notes WHEN OLD.id = 'b'", "SELECT RAISE(IGNORE);"), false,
	},
	{
		"a refusal", ofPostgres("refuse", "BEFORE INSERT OR UPDATE ON notes",
			"IF NEW.priority = 7 THEN RAISE EXCEPTION 'seven is not allowed' USING HINT = 'take six'; END IF; RETURN NEW;"),
		ofSQLite("refuse", "BEFORE UPDATE ON notes WHEN NEW.priority = 7",
			"SELECT RAISE(ABORT, 'seven is not allowed');"), false,
	},
	{
		"unique titles",
		Made{[]string{"CREATE UNIQUE INDEX own_once ON notes (title)"}, []string{"DROP INDEX own_once"}},
		Made{[]string{"CREATE UNIQUE INDEX own_once ON notes (title)"}, []string{"DROP INDEX own_once"}},
		false,
	},
}
