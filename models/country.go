package models

import (
	"maps"
	"slices"
	"strings"
	"sync"

	"golang.org/x/text/language"
	"golang.org/x/text/language/display"
)

// aliases are the spellings of countries in V1 that are not their English names in CLDR. The first alias of a country
// is how V1 spells it.
var aliases = map[string][]string{
	"GB": {"UK", "Great Britain", "England"},
	"US": {"USA", "U.S.A.", "United States of America"},
	"CZ": {"Czech Republic"},
	"NL": {"Holland", "The Netherlands"},
	"KR": {"South Korea", "Korea"},
	"RU": {"Russia", "Russian Federation"},
	"VN": {"Vietnam"},
	"TR": {"Turkey"},
	"MM": {"Burma"},
	"CI": {"Ivory Coast"},
}

// countries returns the spellings of each country by its code, and the code of each spelling.
var countries = sync.OnceValue(func() (known struct {
	spellings map[string][]string
	codes     map[string]string
},
) {
	known.spellings, known.codes = map[string][]string{}, map[string]string{}
	names := make([]display.Namer, len(countryLanguages))
	for i, tag := range countryLanguages {
		names[i] = display.Regions(tag)
	}
	for a := 'A'; a <= 'Z'; a++ {
		for b := 'A'; b <= 'Z'; b++ {
			code := string(a) + string(b)
			region, err := language.ParseRegion(code)
			if err != nil || !region.IsCountry() || region.Canonicalize().String() != code || region.String() != code ||
				strings.HasPrefix(code, "X") || code == "ZZ" || code == "QO" || code == "EU" ||
				code == "UN" || code == "EZ" {
				continue
			}
			spellings := slices.Clone(aliases[code])
			if name := names[0].Name(region); name != "" && !slices.Contains(spellings, name) {
				spellings = append(spellings, name)
			}
			known.spellings[code] = spellings
			for _, s := range spellings {
				known.codes[s] = code
			}
		}
	}
	// A name keeps the meaning that it has in English, or in an earlier language of the list.
	for _, in := range names[1:] {
		for _, code := range slices.Sorted(maps.Keys(known.spellings)) {
			name := in.Name(language.MustParseRegion(code))
			if _, taken := known.codes[name]; !taken && name != "" {
				known.spellings[code], known.codes[name] = append(known.spellings[code], name), code
			}
		}
	}
	return known
})

// countryLanguages are the languages in which V1 may name countries, by CLDR: English, and the languages of the
// countries in Northwind.
var countryLanguages = []language.Tag{
	language.English, language.Spanish, language.German, language.French, language.Portuguese,
	language.Italian, language.Dutch,
	language.Swedish, language.Danish, language.Norwegian, language.Finnish, language.Polish,
}

// CountrySpellings returns how V1 may spell the country with this ISO 3166-1 alpha-2 code, the usual spelling first. It
// returns nil if there is no such code. Exactly these spellings are converted to the code.
func CountrySpellings(code string) []string { return slices.Clone(countries().spellings[code]) }

// countryCode returns the code of a country as V1 spells it, or nil if no country is given. It returns false if it does
// not know the spelling.
func countryCode(country *string) (code *string, known bool) {
	if country == nil || *country == "" {
		return nil, true
	}
	c, ok := countries().codes[*country]
	return &c, ok
}
