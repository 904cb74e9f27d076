package shape

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"gorm.io/gorm/schema"

	"github.com/alwaysup/coexist/value"
)

// Column is one column of a table and the field of the model that it holds.
type Column struct {
	Name     string
	Path     []string // names in the JSON document, outermost first
	Index    []int    // of the Go field, as for reflect.Value.FieldByIndex
	Declared string   // the type that the model's tags say
	Nullable bool
	IsBool   bool
	IsInt    bool
	IsKey    bool // of a root
	IsNumber bool // the field is a Number
	isList   bool // the field is a list or a map, which may hold NULLs
	defaults bool // the model leaves a zero to the database's default, as GORM has it
	GoType   reflect.Type
	// Catalog is what the database says, once it was asked. Columns that are the same share it. Another goroutine may
	// renew it.
	Catalog *atomic.Pointer[CatalogColumn]
}

// Now returns what the database says of the column. For a column that is in no table, it returns what the engine says.
func (c *Column) Now() CatalogColumn {
	if found := c.found(); found != nil {
		return *found
	}
	return CatalogColumn{SQLType: c.Declared, Limits: LimitsOf(c.Declared)}
}

// found returns what the database says of the column, nil for a column that is in no table.
func (c *Column) found() *CatalogColumn {
	if c.Catalog == nil {
		return nil
	}
	return c.Catalog.Load()
}

// limits is Now().Limits for each value of each row.
func (c *Column) limits() Limits {
	if found := c.found(); found != nil {
		return found.Limits
	}
	return LimitsOf(c.Declared)
}

// IsExact reports whether the model wants a decimal kept digit by digit. A Number takes what its column makes of it.
func (c *Column) IsExact() bool { return !c.IsNumber && TypeFamily(c.Declared) == "numeric" }

// Changes says how a V2 column of a type would change what is written to it, "" if it would not. Unlike V1, V2 is not
// read back after a write, so the next client would be told something else than the one that wrote.
func (c *Column) Changes(sqlType string) string {
	if element, array := strings.CutSuffix(sqlType, "[]"); array && DimensionsOf(c.GoType) > 0 {
		one := Column{GoType: c.GoType}
		for DimensionsOf(one.GoType) > 0 {
			one.GoType = one.GoType.Elem()
		}
		for one.GoType.Kind() == reflect.Pointer {
			one.GoType = one.GoType.Elem()
		}
		one.IsNumber = one.GoType == reflect.TypeFor[value.Number]()
		return one.Changes(element)
	}
	family := TypeFamily(sqlType)
	switch {
	case c.IsKey: // it gets the type of V1's
		return ""
	case c.IsNumber && family != "text":
		return "which would change digits of a Number: declare it as text"
	case family == "numeric" && strings.Contains(sqlType, "("):
		return "which rounds: declare it as numeric"
	case family == "real" && c.GoType.Kind() != reflect.Float32:
		return "which rounds: declare it as double precision"
	case family == "text" && IsPadded(sqlType):
		return "which loses blanks at the end: declare it as varchar"
	case (family == "timestamptz" || family == "timestamp") && strings.Contains(sqlType, "(") &&
		!strings.Contains(sqlType, "(6)"):
		return "which rounds: declare it as timestamptz"
	case family == "jsonb" && c.GoType == reflect.TypeFor[json.RawMessage]():
		return "which has a spelling of its own: declare it as json"
	case ReadsItself(c.GoType):
		return ""
	case c.GoType.Kind() == reflect.String && family != "text":
		return "which has a spelling of its own: declare it as text, or take a Go type whose UnmarshalJSON knows that spelling alone"
	case c.GoType.Kind() >= reflect.Int && c.GoType.Kind() <= reflect.Float64 && family == "numeric":
		return "which holds exact decimals, and not all of them fit: declare it as bigint or double precision"
	default:
		return ""
	}
}

// Limits are what a column can hold.
type Limits struct {
	Runes    int // 0: no limit
	Min, Max int64
	Ranged   bool // min and max are set
}

// Table is a root or child table of an aggregate.
type Table struct {
	Name     string
	SQL      string // the name in a statement: quoted, with its schema
	Columns  []Column
	Key      *Column // of a root: its primary key
	Children []Child
	GoType   reflect.Type // of the struct
}

// Child is a table of child rows. Its rows belong to the aggregate and come and go with it.
type Child struct {
	Table
	JSON      string // the name of the list in the document
	Index     []int  // of the slice in the model
	ParentKey string // the column that holds the root's key
	Own       []int  // V1: indexes of the columns that tell the rows of one parent apart
}

// PositionColumn orders the child rows of V2; the engine fills it.
const PositionColumn = "position"

// Parse reads the tables of a model from its tags: those of GORM for the columns, `json` for the names in the
// document, and `repo:"table:NAME"` on a slice that GORM ignores (`gorm:"-"`) for child rows.
func Parse(model any) (*Table, error) {
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
		c := Child{Table: *rows, JSON: JSONName(f), Index: f.Index, ParentKey: t.Key.Name}
		if name := setting["KEY"]; name != "" {
			c.ParentKey = name
		}
		for i := range c.Columns {
			if c.Columns[i].IsKey {
				c.Own = append(c.Own, i)
				c.Columns[i].IsKey = false
			}
		}
		c.Key = nil
		if slices.ContainsFunc(t.All(), func(other *Table) bool { return strings.EqualFold(other.Name, c.Name) }) {
			return nil, fmt.Errorf(
				"%s.%s: there is another list of the rows of table %s, or the root's: each would have the other's rows", goType.Name(), f.Name, c.Name)
		}
		t.Children = append(t.Children, c)
	}
	if t.Key == nil {
		return nil, fmt.Errorf("%s: no field is tagged gorm:\"primaryKey\"", goType.Name())
	}
	return t, nil
}

func parseTable(model any, name string) (*Table, error) {
	parsed, err := schema.Parse(model, &sync.Map{}, schema.NamingStrategy{})
	if err != nil {
		return nil, fmt.Errorf("model %T: %w", model, err)
	}
	if name == "" {
		name = parsed.Table
	}
	goType := reflect.TypeOf(model).Elem()
	t := &Table{Name: name, GoType: goType}
	for _, f := range parsed.Fields {
		if f.DBName == "" {
			continue
		}
		c := Column{
			Name:     f.DBName,
			Index:    nil,
			Nullable: f.IndirectFieldType != f.FieldType,
			IsBool:   f.GORMDataType == schema.Bool,
			IsInt:    f.GORMDataType == schema.Int || f.GORMDataType == schema.Uint,
			Declared: declaredType(f),
			IsNumber: f.IndirectFieldType == reflect.TypeFor[value.Number](),
			isList:   isList(f.IndirectFieldType),
			GoType:   f.IndirectFieldType,
			defaults: f.TagSettings["DEFAULT"] != "",
			Catalog:  &atomic.Pointer[CatalogColumn]{},
		}
		at := goType
		for _, step := range f.BindNames {
			if at.Kind() != reflect.Struct {
				return nil, fmt.Errorf("model %s: %s is embedded as a pointer: embed the struct itself", goType.Name(),
					strings.Join(f.BindNames, "."))
			}
			sf, ok := at.FieldByName(step)
			if !ok {
				return nil, fmt.Errorf("model %s: no field %s", goType.Name(), step)
			}
			if err := checkTag(sf); err != nil {
				return nil, fmt.Errorf("model %s: %w", goType.Name(), err)
			}
			c.Index = append(c.Index, sf.Index...)
			if !sf.Anonymous || sf.Tag.Get("json") != "" {
				c.Path = append(c.Path, JSONName(sf))
			}
			at = sf.Type
		}
		if holdsAny(c.GoType, map[reflect.Type]bool{}) {
			return nil, fmt.Errorf(
				"model %s: %s holds values of any type, and so would change numbers of more than 15 digits: take json.RawMessage, or a struct",
				goType.Name(), f.Name)
		}
		for i := range t.Columns {
			if slices.Equal(t.Columns[i].Path, c.Path) {
				return nil, fmt.Errorf("model %s: columns %s and %s have one JSON name, %s", goType.Name(), t.Columns[i].Name,
					c.Name, c.Field(""))
			}
		}
		t.Columns = append(t.Columns, c)
	}
	if len(parsed.PrimaryFields) > 1 && name == "" {
		return nil, fmt.Errorf("model %s: a key is one field, this model tags %d", goType.Name(),
			len(parsed.PrimaryFields))
	}
	for i := range t.Columns {
		for _, primary := range parsed.PrimaryFields {
			if t.Columns[i].Name == primary.DBName && t.Columns[i].Nullable {
				return nil, fmt.Errorf("model %s: %s is a key, which is never NULL: it cannot be a pointer",
					goType.Name(), t.Columns[i].Name)
			}
			if t.Columns[i].Name == primary.DBName {
				t.Key, t.Columns[i].IsKey = &t.Columns[i], true
			}
		}
	}
	return t, nil
}

// checkTag fails for a json tag by which encoding/json does not read the field from its name: it would be zero in each
// row that is read.
func checkTag(f reflect.StructField) error {
	tag := f.Tag.Get("json")
	name, options, _ := strings.Cut(tag, ",")
	switch {
	case tag == "-":
		return fmt.Errorf("%s has a column but json:\"-\", by which it would be read as zero: give it a name, or gorm:\"-\"", f.Name)
	case slices.Contains(strings.Split(options, ","), "string"):
		return fmt.Errorf("%s is tagged json:\",string\": the database writes its values as they are", f.Name)
	case strings.ContainsFunc(name, func(r rune) bool {
		return !strings.ContainsRune("!#$%&()*+-./:;<=>?@[]^_{|}~ ", r) && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	}):
		return fmt.Errorf("%s: encoding/json takes no name %q", f.Name, name)
	default:
		return nil
	}
}

// holdsAny reports whether a type that does not define how it is read holds values of an interface type.
func holdsAny(t reflect.Type, seen map[reflect.Type]bool) bool {
	if seen[t] || ReadsItself(t) {
		return false
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Interface:
		return true
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		return holdsAny(t.Elem(), seen)
	case reflect.Struct:
		for i := range t.NumField() {
			if t.Field(i).IsExported() && holdsAny(t.Field(i).Type, seen) {
				return true
			}
		}
	}
	return false
}

// JSONName is what a field is called in the JSON document.
func JSONName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	if name == "" {
		return f.Name
	}
	return name
}

// IsJSON reports whether a column holds JSON documents.
func (c *Column) IsJSON() bool {
	family := TypeFamily(c.Now().SQLType)
	return family == "json" || family == "jsonb"
}

// HoldsJSONNull reports whether a JSON null is a value of the column, and not the lack of one.
func (c *Column) HoldsJSONNull() bool { return c.IsJSON() && c.Now().NotNull && !c.Nullable }

// FieldOf is the JSON path of a root's column, empty if there is none.
func (t *Table) FieldOf(name string) string {
	for i := range t.Columns {
		if t.Columns[i].Name == name {
			return t.Columns[i].Field("")
		}
	}
	return ""
}

// CatalogColumn is what the database says of a column.
type CatalogColumn struct {
	SQLType   string
	Collation string // "" for the default
	NotNull   bool
	Primary   bool   // part of the primary key
	Padded    bool   // blanks at the end do not count
	Unique    bool   // a unique index or primary key on this column alone, and none that is deferrable
	Generated bool   // computed from others
	Always    bool   // an identity that is always the database's own, unless a statement says otherwise
	Defaults  bool   // the database gives a value where a statement gives none
	Generator string // SQL for the value that the database gives by itself; "" for none, or the same each time
	Limits    Limits
	Wide      bool // its integers have 64 bits, whatever its type is called: the model says what may be written
	Opaque    bool // a domain whose base type's operators do not take it
	Composite bool // a row of some columns
}

// All returns the root table and the child tables.
func (t *Table) All() []*Table {
	tables := []*Table{t}
	for i := range t.Children {
		tables = append(tables, &t.Children[i].Table)
	}
	return tables
}

// Column returns the column of that name, nil where there is none.
func (t *Table) Column(name string) *Column {
	for i := range t.Columns {
		if t.Columns[i].Name == name && name != "" {
			return &t.Columns[i]
		}
	}
	return nil
}

// omits reports whether a new row leaves a column to V1's default: a zero where the model's tag names a default, as
// GORM has it, or a zero time, which nobody means.
func (c *Column) omits(v reflect.Value) bool {
	return v.IsZero() && c.Now().Defaults && !c.IsKey && (c.defaults || c.GoType == reflect.TypeFor[time.Time]())
}

// Omitted returns the columns that a new row leaves to V1's defaults.
func (t *Table) Omitted(v reflect.Value) map[string]bool {
	var names map[string]bool
	for i := range t.Columns {
		if c := &t.Columns[i]; c.omits(v.FieldByIndex(c.Index)) {
			if names == nil {
				names = map[string]bool{}
			}
			names[c.Name] = true
		}
	}
	return names
}
