package value

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/shopspring/decimal"
)

// Number is a number of a V1 table, exactly. In a V1 model, a field of this type may be a column of type real, double
// precision or numeric, whatever its tag says: the tag is for tables that the engine creates. In V2 it is text, with
// the tag type:text.
//
// A Number holds the shortest decimal that gives the value back in the column's own type, without an exponent and
// without superfluous zeros: "9.8" from a real, "9.80000019" from a double that was written so. "-0" is not "0". A
// value that is not a decimal stands as the database writes it: "NaN", "Infinity", "-Infinity", and on SQLite any text
// that a program put there.
type Number string

// hasNumberForm reports whether a text is a decimal as databases and JSON write it. An exponent has at most three
// digits.
func hasNumberForm(text string) bool {
	const longestExponent = 3
	rest := strings.TrimPrefix(text, "-")
	whole := digits(rest)
	if whole == 0 || whole > 1 && rest[0] == '0' {
		return false
	}
	rest = rest[whole:]
	if fraction, found := strings.CutPrefix(rest, "."); found {
		n := digits(fraction)
		if n == 0 {
			return false
		}
		rest = fraction[n:]
	}
	if rest == "" {
		return true
	}
	if rest[0] != 'e' && rest[0] != 'E' {
		return false
	}
	if rest = rest[1:]; rest != "" && (rest[0] == '+' || rest[0] == '-') {
		rest = rest[1:]
	}
	n := digits(rest)
	return n > 0 && n <= longestExponent && n == len(rest)
}

// digits is how many digits a text begins with.
func digits(text string) int {
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return i
		}
	}
	return len(text)
}

// ParseNumber returns a decimal as a Number. A decimal with an exponent stands for a double: the result is the shortest
// decimal that gives this double back. If it is beyond the range of a double, the result has its exact value.
// ParseNumber fails if the text is not a decimal, or has an exponent of more than three digits.
func ParseNumber(text string) (Number, error) {
	if !hasNumberForm(text) {
		return "", fmt.Errorf("%.40q is not a number", text)
	}
	const exactInDouble = 15 // a double gives back this many digits
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

// Decimal returns the exact value. It fails if n is not a decimal.
func (n Number) Decimal() (decimal.Decimal, error) {
	if !n.IsDecimal() {
		return decimal.Zero, fmt.Errorf("%.40q is not a number", string(n))
	}
	return decimal.NewFromString(string(n))
}

// Meaning returns the decimal that people mean by the number. Usually that is its exact value. But a program may have
// widened a float32 to a double, or written it with nine digits: 9.800000190734863 and 9.80000019 mean 9.8, as the
// float32 does. A number with at most two decimal places always means itself. Meaning fails if n is not a decimal.
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
		return exact, nil //nolint:nilerr // too large for a float32, so it never was one
	}
	if written, err := strconv.ParseFloat(strconv.FormatFloat(narrow, 'e', float32Digits-1, 64), 64); wide != narrow &&
		(err != nil || wide != written) {
		return exact, nil //nolint:nilerr // err is nil here: a written float32 can be parsed
	}
	return decimal.NewFromString(strconv.FormatFloat(narrow, 'f', -1, 32))
}

// IsDecimal reports whether n is a decimal. NaN, an infinity and a text are not.
func (n Number) IsDecimal() bool { return hasNumberForm(string(n)) }

// MarshalJSON writes a decimal as a JSON number, and everything else as a string.
func (n Number) MarshalJSON() ([]byte, error) {
	if n.IsDecimal() {
		return []byte(n), nil
	}
	return strconv.AppendQuote(nil, string(n)), nil
}

// UnmarshalJSON takes a number or any string. It leaves n as it is for null, and fails for everything else.
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

// MarshalGQLContext is for gqlgen. It writes the number as it is. It fails with an *OutputError if n is not a decimal,
// which GraphQL cannot express.
func (n Number) MarshalGQLContext(_ context.Context, w io.Writer) error {
	if !n.IsDecimal() {
		return &OutputError{fmt.Sprintf("the database has %.40q in place of a number", string(n))}
	}
	_, err := io.WriteString(w, string(n))
	return err
}

// UnmarshalGQLContext is for gqlgen. It takes a number of at most 40 characters in the range of a double. It fails with
// a *FieldError for everything else.
func (n *Number) UnmarshalGQLContext(_ context.Context, v any) error {
	const longest = 40
	text := ""
	switch v := v.(type) {
	case float64:
		text = strconv.FormatFloat(v, 'g', -1, 64)
	case int, int64, fmt.Stringer: // a json.Number is a Stringer
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

// Double returns n as a double holds it. It fails if n is too large for a double.
func (n Number) Double() (Number, error) {
	f, err := strconv.ParseFloat(string(n), 64)
	if err != nil {
		return n, fmt.Errorf("is %s, which is too large", n)
	}
	return Number(strconv.FormatFloat(f, 'f', -1, 64)), nil
}

// OfDouble returns the Number of a double. It fails if f is infinite or no number.
func OfDouble(f float64) (Number, error) {
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return "", fmt.Errorf("%v is not a decimal", f)
	}
	return Number(strconv.FormatFloat(f, 'f', -1, 64)), nil
}

// Real returns n as PostgreSQL's real holds it, with the digits that the engine's reads give it (shortReal in
// repo/internal/database). It fails if n is too large for a real.
func (n Number) Real() (Number, error) {
	f, err := strconv.ParseFloat(string(n), 32)
	if err != nil {
		return n, fmt.Errorf("is %s, which is too large", n)
	}
	return OfReal(f)
}

// OfReal is Real of a value that a real holds exactly. It fails if f is infinite or no number.
func OfReal(f float64) (Number, error) {
	const least, most, large = 6, 9, 1e38
	for digits := least; ; digits++ {
		text := strconv.FormatFloat(f, 'e', digits-1, 64)
		if back, err := strconv.ParseFloat(text, 32); digits == most || math.Abs(f) <= large &&
			err == nil && back == f {
			return ParseNumber(text)
		}
	}
}

// Scaled returns n as a column of the type numeric(precision, scale) holds it, rounded half away from zero. A type
// without limits gives n back. Scaled fails if n has too many digits before the point, or is not a decimal.
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
