package value

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/shopspring/decimal"
)

// Number is a number of a V1 table, exactly. A V1 model's field of this type may be a column of any of the types real,
// double precision and numeric, whatever its tag says: the tag is for tables that the engine creates. In V2 it is text,
// with the tag type:text.
//
// It holds the shortest decimal that gives the value back in the column's own type, without an exponent and without
// zeros that say nothing: "9.8" from a real, "9.80000019" from a double that was written so. "-0" is not "0". What is
// no decimal stands as the database writes it: "NaN", "Infinity", "-Infinity", and on SQLite any text that a program
// put there.
type Number string

// numberForm is a decimal as databases and JSON write it.
var numberForm = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?$`)

// ParseNumber returns a decimal as a Number. One with an exponent, which is of at most three digits, is a double: it is
// the shortest that gives the double back. ParseNumber fails for what is no decimal.
func ParseNumber(text string) (Number, error) {
	if !numberForm.MatchString(text) {
		return "", fmt.Errorf("%.40q is not a number", text)
	}
	const exactInDouble = 15 // digits that a double gives back
	if len(text) <= exactInDouble || strings.ContainsAny(text, "eE") {
		if f, err := strconv.ParseFloat(text, 64); err == nil && (f != 0 || isZero(text)) {
			return Number(strconv.FormatFloat(f, 'f', -1, 64)), nil
		}
	}
	d, err := decimal.NewFromString(text)
	if err != nil {
		return "", err
	}
	if d.IsZero() && text[0] == '-' {
		return "-0", nil
	}
	return Number(d.String()), nil
}

func isZero(number string) bool {
	mantissa, _, _ := strings.Cut(strings.ToLower(number), "e")
	return strings.Trim(mantissa, "-0.") == ""
}

// Decimal returns the exact value. It fails for what is no decimal.
func (n Number) Decimal() (decimal.Decimal, error) {
	if !n.IsDecimal() {
		return decimal.Zero, fmt.Errorf("%.40q is not a number", string(n))
	}
	return decimal.NewFromString(string(n))
}

// Meaning returns the decimal that people mean by the number. That is its exact value, unless it is what becomes of a
// float32 that a program has widened to a double, or written with nine digits: 9.800000190734863 and 9.80000019 mean
// 9.8, as the float32 does. A number of at most two decimals means itself. Meaning fails for what is no decimal.
func (n Number) Meaning() (decimal.Decimal, error) {
	const cents, float32Digits = -2, 9
	exact, err := n.Decimal()
	if err != nil || exact.Exponent() >= cents {
		return exact, err
	}
	wide, err := strconv.ParseFloat(string(n), 64)
	if err != nil {
		return exact, err
	}
	narrow, err := strconv.ParseFloat(string(n), 32)
	if err != nil {
		return exact, nil //nolint:nilerr // too large for a float32, so it is none
	}
	if written, err := strconv.ParseFloat(strconv.FormatFloat(narrow, 'e', float32Digits-1, 64), 64); wide != narrow &&
		(err != nil || wide != written) {
		return exact, nil //nolint:nilerr // a float32 has a decimal
	}
	return decimal.NewFromString(strconv.FormatFloat(narrow, 'f', -1, 32))
}

// IsDecimal reports whether n is a decimal, and no NaN, infinity or text.
func (n Number) IsDecimal() bool { return numberForm.MatchString(string(n)) }

// MarshalJSON writes a JSON number, or a string of what is no decimal.
func (n Number) MarshalJSON() ([]byte, error) {
	if n.IsDecimal() {
		return []byte(n), nil
	}
	return strconv.AppendQuote(nil, string(n)), nil
}

// UnmarshalJSON takes a number or a string. It fails for all else.
func (n *Number) UnmarshalJSON(document []byte) (err error) {
	text := string(document)
	switch {
	case text == "null":
	case strings.HasPrefix(text, `"`):
		err = json.Unmarshal(document, (*string)(n))
	default:
		*n, err = ParseNumber(text)
	}
	return err
}

// MarshalGQLContext is for gqlgen. It writes the number as it is, and fails with an *OutputError for what GraphQL
// cannot say.
func (n Number) MarshalGQLContext(_ context.Context, w io.Writer) error {
	if !n.IsDecimal() {
		return &OutputError{fmt.Sprintf("the database has %.40q in place of a number", string(n))}
	}
	_, err := io.WriteString(w, string(n))
	return err
}

// UnmarshalGQLContext is for gqlgen. It takes a number of at most 40 characters in the range of a double, and fails
// with a *FieldError for all else.
func (n *Number) UnmarshalGQLContext(_ context.Context, v any) error {
	const longest = 40
	text := ""
	switch v := v.(type) {
	case float64:
		text = strconv.FormatFloat(v, 'g', -1, 64)
	case int, int64, fmt.Stringer: // a json.Number too
		text = fmt.Sprint(v)
	}
	parsed, err := ParseNumber(text)
	if err != nil || len(text) > longest {
		return Faulty("", "%.40v is not a number", v)
	}
	if f, err := strconv.ParseFloat(text, 64); err != nil || f == 0 && !isZero(text) {
		return Faulty("", "%.40v is out of range", v)
	}
	*n = parsed
	return nil
}

// Double returns n as a double has it, or why none can.
func (n Number) Double() (Number, error) {
	f, err := strconv.ParseFloat(string(n), 64)
	if err != nil {
		return n, fmt.Errorf("is %s, which is too large", n)
	}
	return Number(strconv.FormatFloat(f, 'f', -1, 64)), nil
}

// Real returns n as PostgreSQL's real has it, with the digits that shortReal chooses, or why none can.
func (n Number) Real() (Number, error) {
	f, err := strconv.ParseFloat(string(n), 32)
	if err != nil {
		return n, fmt.Errorf("is %s, which is too large", n)
	}
	const least, most, large = 6, 9, 1e38
	for digits := least; ; digits++ {
		text := strconv.FormatFloat(f, 'e', digits-1, 64)
		if back, err := strconv.ParseFloat(text, 32); digits == most || math.Abs(f) <= large &&
			err == nil && back == f {
			return ParseNumber(text)
		}
	}
}

// Scaled returns n as a column numeric(precision, scale) has it, which rounds half away from zero, or why it cannot
// hold it.
func (n Number) Scaled(sqlType string) (Number, error) {
	var precision, scale int32
	if n == "-0" {
		n = "0"
	}
	if fields, err := fmt.Sscanf(sqlType[strings.Index(sqlType, "(")+1:], "%d,%d", &precision, &scale); err != nil &&
		fields == 0 {
		return n, nil // numeric, without limits
	}
	d, err := n.Decimal()
	if err != nil {
		return n, err
	}
	d = d.Round(scale)
	if d.Abs().GreaterThanOrEqual(decimal.New(1, precision-scale)) {
		return n, fmt.Errorf("is %s, and has more than %d digits before the point", n, precision-scale)
	}
	if d.IsZero() {
		return "0", nil
	}
	return Number(d.String()), nil
}
