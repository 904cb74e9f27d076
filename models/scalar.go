package models

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/alwaysup/coexist/repo"
)

// Date is a calendar day as the database has it: YYYY-MM-DD. It takes any text, so that a row with a bad date can still be
// read and repaired through V1; Valid says whether it is a day.
type Date string

// Valid reports whether the date is a calendar day of the years 1 to 9999 in the form YYYY-MM-DD.
func (d Date) Valid() bool {
	t, err := time.Parse(time.DateOnly, string(d))
	return err == nil && t.Year() > 0
}

// MarshalGQLContext writes the date as a string. It fails for what is no date.
func (d Date) MarshalGQLContext(_ context.Context, w io.Writer) error {
	if !d.Valid() {
		return unreadable("the database has %q in place of a date", string(d))
	}
	_, err := io.WriteString(w, strconv.Quote(string(d)))
	return err
}

// UnmarshalGQLContext takes a string that is a date. It fails for everything else.
func (d *Date) UnmarshalGQLContext(_ context.Context, v any) error {
	s, ok := v.(string)
	if *d = Date(s); !ok || !d.Valid() {
		return repo.Faulty("", "a date is a string of the form YYYY-MM-DD, a day that exists")
	}
	return nil
}

// unreadable is the error of a value in V1 that its shape has no place for, so that a client gets the rest of the row.
func unreadable(format string, args ...any) error {
	return &repo.ConversionError{FieldError: repo.FieldError{Reason: fmt.Sprintf(format, args...)}}
}

// Real is a number of PostgreSQL's type real: a float32, which may be no number at all.
type Real float32

// String returns the shortest decimal that gives the same float32, without an exponent: 9.8 for what others show as 9.80000019.
func (r Real) String() string { return strconv.FormatFloat(float64(r), 'f', -1, 32) }

// negativeZero is what no exact number gives back.
func (r Real) negativeZero() bool { return r == 0 && math.Signbit(float64(r)) }

func (r Real) finite() bool { return !math.IsNaN(float64(r)) && !math.IsInf(float64(r), 0) }

// MarshalJSON returns the shortest decimal, or one of the strings "NaN", "Infinity" and "-Infinity", as PostgreSQL does.
func (r Real) MarshalJSON() ([]byte, error) {
	switch {
	case math.IsNaN(float64(r)):
		return []byte(`"NaN"`), nil
	case math.IsInf(float64(r), 1):
		return []byte(`"Infinity"`), nil
	case math.IsInf(float64(r), -1):
		return []byte(`"-Infinity"`), nil
	default:
		return strconv.AppendFloat(nil, float64(r), 'g', -1, 32), nil
	}
}

// UnmarshalJSON takes what MarshalJSON returns, and any other number, which it rounds to a float32. It fails for what is none.
func (r *Real) UnmarshalJSON(document []byte) error {
	text := string(document)
	if strings.HasPrefix(text, `"`) {
		if text != `"NaN"` && text != `"Infinity"` && text != `"-Infinity"` {
			return fmt.Errorf("%s is not a number", text)
		}
		text = strings.Trim(text, `"`)
	}
	if text == "null" {
		return nil
	}
	f, err := strconv.ParseFloat(text, 32)
	if err != nil {
		return fmt.Errorf("%s is not a real number", text)
	}
	*r = Real(f)
	return nil
}

// MarshalGQLContext writes the shortest decimal. It fails for what is no number, which GraphQL cannot say.
func (r Real) MarshalGQLContext(_ context.Context, w io.Writer) error {
	if !r.finite() {
		return unreadable("the database has %v in place of a number", float32(r))
	}
	_, err := io.WriteString(w, strconv.FormatFloat(float64(r), 'g', -1, 32))
	return err
}

// UnmarshalGQLContext takes a number and rounds it to a float32. It fails for everything else, and for what is too large.
func (r *Real) UnmarshalGQLContext(_ context.Context, v any) error {
	var f float64
	switch n := v.(type) {
	case float64:
		f = n
	case int:
		f = float64(n)
	case int64:
		f = float64(n)
	case json.Number:
		var err error
		if f, err = n.Float64(); err != nil {
			return repo.Faulty("", "%v is not a number", v)
		}
	default:
		return repo.Faulty("", "%v is not a number", v)
	}
	if *r = Real(f); !r.finite() {
		return repo.Faulty("", "%v is too large a number", v)
	}
	return nil
}

// Decimal is an exact decimal number in its shortest form: digits, with a point and further digits where needed, and a minus
// sign where it is below zero. No exponent, no zeros that say nothing.
type Decimal string

// maxDigits is how many digits a Decimal may have.
const maxDigits = 60

// ParseDecimal returns the shortest form of a decimal number. It fails where s is none or has more than 60 digits.
func ParseDecimal(s string) (Decimal, error) {
	digits, negative := strings.CutPrefix(s, "-")
	whole, part, pointed := strings.Cut(digits, ".")
	if len(s) > maxDigits || whole == "" || pointed && part == "" || strings.Trim(whole+part, "0123456789") != "" {
		return "", repo.Faulty("", "a decimal is a string such as \"12.50\", of at most %d digits", maxDigits)
	}
	whole = strings.TrimLeft(whole, "0")
	if whole == "" {
		whole = "0"
	}
	if part = strings.TrimRight(part, "0"); part != "" {
		whole += "." + part
	}
	if negative && whole != "0" {
		whole = "-" + whole
	}
	return Decimal(whole), nil
}

// rational returns the number; zero for what is none.
func (d Decimal) rational() *big.Rat {
	r, ok := new(big.Rat).SetString(string(d))
	if !ok {
		return new(big.Rat)
	}
	return r
}

// decimalOf returns a number that has a finite decimal form.
func decimalOf(r *big.Rat) Decimal {
	digits, _ := r.FloatPrec()
	d, _ := ParseDecimal(r.FloatString(digits)) // always one
	return d
}

// MarshalGQL writes the number as a string.
func (d Decimal) MarshalGQL(w io.Writer) {
	io.WriteString(w, strconv.Quote(string(d))) //nolint:errcheck // the answer's buffer takes everything
}

// UnmarshalGQL takes a decimal number in a string, or an integer. It fails for everything else.
func (d *Decimal) UnmarshalGQL(v any) (err error) {
	*d, err = ParseDecimal(decimalText(v))
	return err
}

func decimalText(v any) string {
	switch n := v.(type) {
	case string:
		return n
	case json.Number:
		if strings.ContainsAny(n.String(), ".eE") {
			return "" // who writes a fraction as a number has computed with floats
		}
		return n.String()
	case int, int64:
		return fmt.Sprint(n)
	default:
		return ""
	}
}

// Cents is money, in hundredths of its currency.
type Cents int64

// Currency is the currency of all money, since V1 knows none.
const Currency = "USD"

// Decimal returns the amount with two decimals: 9.80.
func (c Cents) Decimal() Decimal {
	return Decimal(new(big.Rat).SetFrac64(int64(c), 100).FloatString(2))
}

// UnmarshalGQL takes an amount in a string, such as "9.80", or a whole number. It fails for fractions of a cent, and for what is too large.
func (c *Cents) UnmarshalGQL(v any) error {
	d, err := ParseDecimal(decimalText(v))
	if err != nil {
		return err
	}
	*c, err = centsOf(d)
	return err
}

// MarshalGQL writes the amount as a string.
func (c Cents) MarshalGQL(w io.Writer) { c.Decimal().MarshalGQL(w) }

func centsOf(d Decimal) (Cents, error) {
	cents := new(big.Rat).Mul(d.rational(), big.NewRat(100, 1))
	if !cents.IsInt() {
		return 0, repo.Faulty("", "%s has fractions of a cent", d)
	}
	const most = 1e15
	if !cents.Num().IsInt64() || cents.Num().CmpAbs(big.NewInt(most)) > 0 {
		return 0, repo.Faulty("", "%s is too large an amount", d)
	}
	return Cents(cents.Num().Int64()), nil
}

// centsOfReal converts an amount exactly, or fails.
func centsOfReal(r Real) (Cents, error) {
	if !r.finite() {
		return 0, fmt.Errorf("%v is not an amount", float32(r))
	}
	if r.negativeZero() {
		return 0, errors.New("is a negative zero")
	}
	d, err := ParseDecimal(r.String())
	if err != nil {
		return 0, fmt.Errorf("%v is too large an amount", float32(r))
	}
	return centsOf(d)
}

// real converts an amount to what gives it back, or fails.
func (c Cents) real() (Real, error) {
	f, err := strconv.ParseFloat(string(c.Decimal()), 32)
	if err != nil {
		return 0, fmt.Errorf("%s is too large an amount", c.Decimal())
	}
	if back, err := centsOfReal(Real(f)); err != nil || back != c {
		return 0, fmt.Errorf("%s has more digits than V1 keeps", c.Decimal())
	}
	return Real(f), nil
}
