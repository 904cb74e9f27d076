package repo

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"gorm.io/gorm/schema"
)

// column is one column of a table and the field of the model that it holds.
type column struct {
	name     string
	path     []string // names in the JSON document, outermost first
	index    []int    // of the Go field, as for reflect.Value.FieldByIndex
	declared string   // the type that the model's tags say
	nullable bool
	isBool   bool
	isInt    bool
	isKey    bool // of a root
	isNumber bool // the field is a Number
	isList   bool // the field is a list or a map, which may hold NULLs
	defaults bool // the model leaves a zero to the database's default, as GORM has it
	goType   reflect.Type
	// catalog is what the database says, once it was asked. Columns that are the same share it. Another goroutine may
	// renew it.
	catalog *atomic.Pointer[catalogColumn]
}

// now is what the database says of the column; of one that is in no table, what the engine says.
func (c *column) now() catalogColumn {
	if c.catalog != nil {
		if found := c.catalog.Load(); found != nil {
			return *found
		}
	}
	return catalogColumn{sqlType: c.declared, limits: limitsOf(c.declared)}
}

// isExact reports whether the model wants a decimal kept digit by digit. A Number wants what its column makes of it.
func (c *column) isExact() bool { return !c.isNumber && typeFamily(c.declared) == "numeric" }

// changes says how a V2 column of a type would change what is written to it, "" if it would not. Nobody reads V2 back
// after a write, as V1 is read, so that what the client was told would not be what the next one is.
func (c *column) changes(sqlType string) string {
	if element, array := strings.CutSuffix(sqlType, "[]"); array && dimensionsOf(c.goType) > 0 {
		one := column{goType: c.goType}
		for dimensionsOf(one.goType) > 0 {
			one.goType = one.goType.Elem()
		}
		for one.goType.Kind() == reflect.Pointer {
			one.goType = one.goType.Elem()
		}
		one.isNumber = one.goType == reflect.TypeFor[Number]()
		return one.changes(element)
	}
	family := typeFamily(sqlType)
	switch {
	case c.isKey: // it gets the type of V1's
		return ""
	case c.isNumber && family != "text":
		return "which would change digits of a Number: declare it as text"
	case family == "numeric" && strings.Contains(sqlType, "("):
		return "which rounds: declare it as numeric"
	case family == "real" && c.goType.Kind() != reflect.Float32:
		return "which rounds: declare it as double precision"
	case family == "text" && isPadded(sqlType):
		return "which loses blanks at the end: declare it as varchar"
	case (family == "timestamptz" || family == "timestamp") && strings.Contains(sqlType, "(") &&
		!strings.Contains(sqlType, "(6)"):
		return "which rounds: declare it as timestamptz"
	case family == "jsonb" && c.goType == reflect.TypeFor[json.RawMessage]():
		return "which has a spelling of its own: declare it as json"
	case slices.ContainsFunc(spellers, reflect.PointerTo(c.goType).Implements):
		return ""
	case c.goType.Kind() == reflect.String && family != "text":
		return "which has a spelling of its own: declare it as text, or take a Go type whose UnmarshalJSON knows that spelling alone"
	case c.goType.Kind() >= reflect.Int && c.goType.Kind() <= reflect.Float64 && family == "numeric":
		return "which holds exact decimals, and not all of them fit: declare it as bigint or double precision"
	default:
		return ""
	}
}

// spellers are how a type may say how it is written.
var spellers = []reflect.Type{reflect.TypeFor[json.Unmarshaler](), reflect.TypeFor[encoding.TextUnmarshaler]()}

// isPadded reports whether a type loses blanks at the end of a text.
func isPadded(sqlType string) bool {
	name, _, _ := strings.Cut(strings.ToLower(sqlType), "(")
	return slices.Contains([]string{"char", "character", "bpchar", "nchar"}, strings.TrimSpace(name))
}

// checkKeeps fails where a column of V2 would change what is written to it. sqlType says the type of each.
func (e *entity) checkKeeps(sqlType func(*column) string) error {
	for _, t := range e.v2.all() {
		for i := range t.columns {
			c := &t.columns[i]
			if why := c.changes(sqlType(c)); why != "" {
				return fmt.Errorf("column %s of V2's table %s is %s, %s", c.name, t.name, sqlType(c), why)
			}
		}
	}
	return nil
}

// limits are what a column can hold.
type limits struct {
	runes    int // 0: no limit
	min, max int64
	ranged   bool // min and max are set
}

// table is a root or child table of an aggregate.
type table struct {
	name     string
	sql      string // the name in a statement: quoted, with its schema
	columns  []column
	key      *column // of a root: its primary key
	children []child
}

// child is a table of child rows. Its rows belong to the aggregate and come and go with it.
type child struct {
	table
	json      string // the name of the list in the document
	index     []int  // of the slice in the model
	parentKey string // the column that holds the root's key
	own       []int  // V1: indexes of the columns that tell the rows of one parent apart
}

// positionColumn orders the child rows of V2; the engine fills it.
const positionColumn = "position"

// parseShape reads the tables of a model from its tags: those of GORM for the columns, `json` for the names in the
// document, and `repo:"table:NAME"` on a slice that GORM ignores (`gorm:"-"`) for child rows.
func parseShape(model any) (*table, error) {
	t, err := parseTable(model, "")
	if err != nil {
		return nil, err
	}
	goType := reflect.TypeOf(model).Elem()
	for i := range goType.NumField() {
		f := goType.Field(i)
		setting := schema.ParseTagSetting(f.Tag.Get("repo"), ";")
		if setting["TABLE"] == "" {
			continue
		}
		if f.Type.Kind() != reflect.Slice || f.Type.Elem().Kind() != reflect.Struct {
			return nil, fmt.Errorf("%s.%s: child rows are a slice of structs", goType.Name(), f.Name)
		}
		for j := range f.Type.Elem().NumField() {
			if below := f.Type.Elem().Field(j); below.Tag.Get("repo") != "" || below.Type.Kind() == reflect.Slice &&
				below.Type.Elem().Kind() == reflect.Struct {
				return nil, fmt.Errorf(
					"%s.%s.%s: a child row has no child rows of its own: make them an entity, or a column of JSON",
					goType.Name(), f.Name, below.Name)
			}
		}
		rows, err := parseTable(reflect.New(f.Type.Elem()).Interface(), setting["TABLE"])
		if err != nil {
			return nil, err
		}
		c := child{table: *rows, json: jsonName(f), index: f.Index, parentKey: t.key.name}
		if name := setting["KEY"]; name != "" {
			c.parentKey = name
		}
		for i := range c.columns {
			if c.columns[i].isKey {
				c.own = append(c.own, i)
				c.columns[i].isKey = false
			}
		}
		c.key = nil
		if slices.ContainsFunc(t.all(), func(other *table) bool { return strings.EqualFold(other.name, c.name) }) {
			return nil, fmt.Errorf(
				"%s.%s: there is another list of the rows of table %s, or the root's: each would have the other's rows", goType.Name(), f.Name, c.name)
		}
		t.children = append(t.children, c)
	}
	if t.key == nil {
		return nil, fmt.Errorf("%s: no field is tagged gorm:\"primaryKey\"", goType.Name())
	}
	return t, nil
}

func parseTable(model any, name string) (*table, error) {
	parsed, err := schema.Parse(model, &sync.Map{}, schema.NamingStrategy{})
	if err != nil {
		return nil, fmt.Errorf("model %T: %w", model, err)
	}
	if name == "" {
		name = parsed.Table
	}
	t := &table{name: name}
	goType := reflect.TypeOf(model).Elem()
	for _, f := range parsed.Fields {
		if f.DBName == "" {
			continue
		}
		c := column{
			name:     f.DBName,
			index:    nil,
			nullable: f.IndirectFieldType != f.FieldType,
			isBool:   f.GORMDataType == schema.Bool,
			isInt:    f.GORMDataType == schema.Int || f.GORMDataType == schema.Uint,
			declared: declaredType(f),
			isNumber: f.IndirectFieldType == reflect.TypeFor[Number](),
			isList:   isList(f.IndirectFieldType),
			goType:   f.IndirectFieldType,
			defaults: f.TagSettings["DEFAULT"] != "",
			catalog:  &atomic.Pointer[catalogColumn]{},
		}
		at := goType
		for _, step := range f.BindNames {
			sf, ok := at.FieldByName(step)
			if !ok {
				return nil, fmt.Errorf("model %s: no field %s", goType.Name(), step)
			}
			c.index = append(c.index, sf.Index...)
			if !sf.Anonymous || sf.Tag.Get("json") != "" {
				c.path = append(c.path, jsonName(sf))
			}
			at = sf.Type
		}
		t.columns = append(t.columns, c)
	}
	if len(parsed.PrimaryFields) > 1 && name == "" {
		return nil, fmt.Errorf("model %s: a key is one field, this model tags %d", goType.Name(),
			len(parsed.PrimaryFields))
	}
	for i := range t.columns {
		for _, primary := range parsed.PrimaryFields {
			if t.columns[i].name == primary.DBName && t.columns[i].nullable {
				return nil, fmt.Errorf("model %s: %s is a key, which is never NULL: it cannot be a pointer",
					goType.Name(), t.columns[i].name)
			}
			if t.columns[i].name == primary.DBName {
				t.key, t.columns[i].isKey = &t.columns[i], true
			}
		}
	}
	return t, nil
}

func jsonName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	if name == "" {
		return f.Name
	}
	return name
}

// declaredType is the SQL type of a field: that of its tag, or the usual one of both databases for its Go type.
func declaredType(f *schema.Field) string {
	if t := f.TagSettings["TYPE"]; t != "" {
		return t
	}
	switch f.GORMDataType {
	case schema.Bool:
		return "boolean"
	case schema.Int, schema.Uint:
		switch {
		case f.Size <= 16:
			return "smallint"
		case f.Size <= 32:
			return "integer"
		default:
			return "bigint"
		}
	case schema.Float:
		if f.Size <= 32 {
			return "real"
		}
		return "double precision"
	case schema.Time:
		return "timestamptz"
	default:
		if f.Size > 0 {
			return fmt.Sprintf("varchar(%d)", f.Size)
		}
		return "text"
	}
}

// limitsOf reads the limits from a type's name, as a model or a catalog spells it.
func limitsOf(sqlType string) limits {
	name, rest, _ := strings.Cut(strings.ToLower(sqlType), "(")
	switch strings.TrimSpace(name) {
	case "smallint", "int2", "smallserial":
		return limits{min: -1 << 15, max: 1<<15 - 1, ranged: true}
	case "integer", "int", "int4", "serial":
		return limits{min: -1 << 31, max: 1<<31 - 1, ranged: true}
	case "bigint", "int8", "bigserial":
		return limits{min: -1 << 63, max: 1<<63 - 1, ranged: true}
	case "varchar", "character varying", "char", "character", "bpchar", "nvarchar", "nchar":
		var n int
		if _, err := fmt.Sscanf(rest, "%d", &n); err == nil {
			return limits{runes: n}
		}
	}
	return limits{}
}
