package models

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/shopspring/decimal"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/value"
)

// Date is a calendar day: YYYY-MM-DD. In V1 it holds what the database has, which may be any text, so that a row with a
// bad date can still be read and corrected. Day says which day that is.
type Date string

// midnight matches the time that some programs write after the day.
var midnight = regexp.MustCompile(`^[ T]00:00(:00(\.0+)?)?$`)

// Day returns the day in the form YYYY-MM-DD. It drops a time after the day if that is midnight. It returns false if
// the text is not a day in the years 1 to 9999.
func (d Date) Day() (Date, bool) {
	day, rest := string(d), ""
	if len(day) > len(time.DateOnly) {
		day, rest = day[:len(time.DateOnly)], day[len(time.DateOnly):]
	}
	t, err := time.Parse(time.DateOnly, day)
	return Date(day), err == nil && t.Year() > 0 && (rest == "" || midnight.MatchString(rest))
}

// Valid reports whether d is a day in the form YYYY-MM-DD.
func (d Date) Valid() bool {
	day, ok := d.Day()
	return ok && day == d
}

// UnmarshalJSON takes a string. It keeps a number as the text in which it is written.
func (d *Date) UnmarshalJSON(document []byte) error {
	if text, simple := simpleString(document); simple {
		*d = Date(text)
		return nil
	}
	var number json.Number
	if json.Unmarshal(document, &number) == nil && !strings.HasPrefix(string(document), `"`) {
		if number != "" {
			*d = Date(number)
		}
		return nil
	}
	return json.Unmarshal(document, (*string)(d))
}

// simpleString returns the text of a JSON string of printable ASCII characters without an escape, as dates and decimals
// are.
func simpleString(document []byte) (string, bool) {
	if len(document) < len(`""`) || document[0] != '"' || document[len(document)-1] != '"' {
		return "", false
	}
	text := document[1 : len(document)-1]
	for _, b := range text {
		if b < ' ' || b > '~' || b == '"' || b == '\\' {
			return "", false
		}
	}
	return string(text), true
}

// dateV1 returns how V1 writes a day of V2's. It uses the spelling only if that means the same day.
func dateV1(day, spelling *Date) *Date {
	if day != nil && spelling != nil {
		if spelled, ok := spelling.Day(); ok && spelled == *day {
			return spelling
		}
	}
	return day
}

// mergeDate brings a day of V2's and its spelling up to V1's. It fails if V1's text is not a date. The names are those
// of the field in V1 and in V2.
func mergeDate(nameV1, nameV2 string, v1 *Date, day, spelling **Date) error {
	if was := dateV1(*day, *spelling); was != nil && v1 != nil && *was == *v1 || was == nil && v1 == nil {
		return nil
	}
	if *day, *spelling = v1, nil; v1 == nil {
		return nil
	}
	means, ok := v1.Day()
	if !ok {
		return repo.Unconvertible(nameV1, nameV2, "%q is not a date", string(*v1))
	}
	if means != *v1 {
		*day, *spelling = &means, v1
	}
	return nil
}

// MarshalGQLContext writes the day as a string. It fails with a *value.OutputError if the text is not a date.
func (d Date) MarshalGQLContext(_ context.Context, w io.Writer) error {
	day, ok := d.Day()
	if !ok {
		return unreadable("the database has %q in place of a date", string(d))
	}
	_, err := io.WriteString(w, strconv.Quote(string(day)))
	return err
}

// UnmarshalGQLContext takes a string that is a date. It fails with a *value.FieldError for everything else.
func (d *Date) UnmarshalGQLContext(_ context.Context, v any) error {
	s, ok := v.(string)
	if *d = Date(s); !ok || !d.Valid() {
		return value.Faulty("", "a date is a string of the form YYYY-MM-DD, a day that exists")
	}
	return nil
}

// unreadable returns the error for a value in V1 that its GraphQL type cannot express. With it a client still gets the
// rest of the row.
func unreadable(format string, args ...any) error {
	return &value.OutputError{Reason: fmt.Sprintf(format, args...)}
}

// Decimal is an exact decimal number in its shortest form: digits, a point and further digits where needed, and a minus
// sign if it is below zero. It has no exponent and no superfluous zeros.
type Decimal string

// maxDigits is how many characters the text of a Decimal may have.
const maxDigits = 60

// decimalForm matches what people write. It allows no exponent, no blanks and no comma.
var decimalForm = regexp.MustCompile(`^[+-]?([0-9]+(\.[0-9]+)?|\.[0-9]+)$`)

// ParseDecimal returns the shortest form of a decimal number. It fails with a *value.FieldError if s is not a decimal
// number, or has more than 60 characters.
func ParseDecimal(s string) (Decimal, error) {
	if isShortest(s) {
		return Decimal(s), nil
	}
	d, err := decimal.NewFromString(s)
	if err != nil || len(s) > maxDigits || !decimalForm.MatchString(s) {
		return "", value.Faulty("", "a decimal is a string such as \"12.50\", of at most %d digits", maxDigits)
	}
	return Decimal(d.String()), nil
}

// isShortest reports whether a text is a decimal of at most 18 digits without a sign, in its shortest form.
func isShortest(s string) bool {
	const longest = 18
	whole, fraction, point := strings.Cut(s, ".")
	digits := strings.TrimRight(whole+fraction, "0123456789") == "" && len(whole)+len(fraction) <= longest
	return digits && whole != "" && (whole == "0" || whole[0] != '0') &&
		(!point || fraction != "" && fraction[len(fraction)-1] != '0')
}

// number returns the number, or zero if d is not a number.
func (d Decimal) number() decimal.Decimal {
	n, err := decimal.NewFromString(string(d))
	if err != nil {
		return decimal.Zero
	}
	return n
}

// inCents reports whether the number has at most two decimal places.
func (d Decimal) inCents() bool { return d.number().Exponent() >= -2 }

// UnmarshalJSON takes a string or a number that is a decimal, in any of its forms.
func (d *Decimal) UnmarshalJSON(document []byte) (err error) {
	text := strings.Trim(string(document), `"`)
	if text != "null" {
		*d, err = ParseDecimal(text)
	}
	return err
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

// decimalText returns the text of a string or of an integer, and "" for everything else.
func decimalText(v any) string {
	switch n := v.(type) {
	case string:
		return n
	case json.Number:
		if strings.ContainsAny(n.String(), ".eE") {
			return "" // a fraction that is sent as a number has likely been computed with floats
		}
		return n.String()
	case int, int64:
		return fmt.Sprint(n)
	default:
		return ""
	}
}

// Currency is the currency of all money, since V1 has no currency.
const Currency = "USD"

// Amount is money as clients see it: with two decimal places, and with more only if the exact value has more.
type Amount Decimal

// MarshalGQL writes the amount as a string.
func (a Amount) MarshalGQL(w io.Writer) { Decimal(a.String()).MarshalGQL(w) }

// UnmarshalGQL takes what Decimal.UnmarshalGQL takes.
func (a *Amount) UnmarshalGQL(v any) error { return (*Decimal)(a).UnmarshalGQL(v) }

// String returns the amount as clients see it, such as 9.80.
func (a Amount) String() string {
	n := Decimal(a).number()
	return n.StringFixed(max(2, -n.Exponent()))
}

// V2 holds the number that a V1 number means. V1 may write it in a longer way (9.80000019 for 9.8, or -0). Then the
// copy keeps V1's spelling beside the number. The spelling counts only while the number is the one that it spells.

// meaning returns the number that a V1 number means. It fails if that is not a number, or has more than 60 digits.
func meaning(n value.Number) (Decimal, error) {
	d, err := n.Meaning()
	if err != nil {
		return "", fmt.Errorf("%s is not an amount", n)
	}
	text := d.String()
	if len(text) > maxDigits {
		return "", fmt.Errorf("has more than %d digits: %.40s", maxDigits, string(n))
	}
	return Decimal(text), nil
}

// numberV1 returns how V1 writes a number of V2's. It uses the spelling only if that means the same number.
func numberV1(d Decimal, spelling *value.Number) value.Number {
	if spelling != nil {
		if meant, err := meaning(*spelling); err == nil && meant == d {
			return *spelling
		}
	}
	return value.Number(d)
}

// mergeNumber brings a number of V2's and its spelling up to V1's. It fails as meaning does.
func mergeNumber(v1 value.Number, d *Decimal, spelling **value.Number) error {
	if *d != "" && numberV1(*d, *spelling) == v1 {
		return nil
	}
	meant, err := meaning(v1)
	if *d, *spelling = meant, nil; value.Number(meant) != v1 {
		*spelling = &v1
	}
	return err
}
