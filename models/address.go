package models

import (
	"fmt"

	"github.com/alwaysup/coexist/repo"
)

// Postal is an address in V2, without its kind. Country is as people wrote it, CountryCode is ISO 3166-1 alpha-2.
type Postal struct {
	Street      *string `gorm:"type:text" json:"street"`
	Locality    *string `gorm:"type:text" json:"locality"`
	Region      *string `gorm:"type:text" json:"region"`
	PostalCode  *string `gorm:"type:text" json:"postalCode"`
	Country     *string `gorm:"type:text" json:"country"`
	CountryCode *string `gorm:"type:varchar(2)" json:"countryCode"`
}

// postalV1 is an address in V1: the same five columns in customers and in orders.
type postalV1 struct{ street, city, region, postalCode, country *string }

// Empty reports whether the address says nothing.
func (p Postal) Empty() bool { return p == Postal{} }

func (p postalV1) empty() bool { return p == postalV1{} }

// Completed returns the address with the country's code where only the country is given, and with the country's usual
// spelling where only the code is.
func (p Postal) Completed() Postal {
	if code, known := countryCode(p.Country); p.CountryCode == nil && known {
		p.CountryCode = code
	}
	if p.Country == nil && p.CountryCode != nil {
		if spellings := CountrySpellings(*p.CountryCode); spellings != nil {
			p.Country = &spellings[0]
		}
	}
	return p
}

// validate names the fields of the address under path.
func (p Postal) validate(path string) error {
	if p.CountryCode != nil && CountrySpellings(*p.CountryCode) == nil {
		return repo.Faulty(path+"countryCode", "%q is not an ISO 3166-1 alpha-2 code, such as DE", *p.CountryCode)
	}
	code, known := countryCode(p.Country)
	if !known {
		return repo.Faulty(path+"country", "unknown country %q", *p.Country)
	}
	if !same(code, p.CountryCode) {
		return repo.Faulty(path+"countryCode", "does not agree with country")
	}
	return nil
}

// upgradePostal fails for a country that nobody knows. The names are those of V1's field and V2's.
func upgradePostal(v1 postalV1, nameV1, nameV2 string) (Postal, error) {
	p := Postal{Street: v1.street, Locality: v1.city, Region: v1.region, PostalCode: v1.postalCode, Country: v1.country}
	code, known := countryCode(v1.country)
	if !known {
		return p, repo.Unconvertible(nameV1, nameV2, "unknown country %q", *v1.country)
	}
	p.CountryCode = code
	return p, nil
}

// mergePostal changes only what differs in V1. The names are those of V1's country and V2's.
func mergePostal(v1 postalV1, p Postal, nameV1, nameV2 string) (Postal, error) {
	fresh, err := upgradePostal(v1, nameV1, nameV2)
	if same(p.Country, fresh.Country) {
		fresh.CountryCode = p.CountryCode
	}
	return fresh, err
}

// downgradePostal fails for a code that V1 could not give back; path is that of V2.
func downgradePostal(p Postal, path string) (postalV1, error) {
	v1 := postalV1{p.Street, p.Locality, p.Region, p.PostalCode, p.Country}
	if code, known := countryCode(p.Country); known && !same(code, p.CountryCode) {
		return v1, repo.Faulty(path+"countryCode", "V1 keeps the country only, which does not agree")
	}
	return v1, nil
}

// same compares what two pointers point to; nil equals nil alone.
func same[T comparable](a, b *T) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

func element(list string, i int, field string) string {
	return fmt.Sprintf("%s[%d].%s", list, i, field)
}
