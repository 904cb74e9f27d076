package models

import (
	"strconv"

	"github.com/alwaysup/coexist/repo"
)

// Postal is an address in V2, without its kind. Country is as people wrote it. CountryCode is the ISO 3166-1 alpha-2
// code.
type Postal struct {
	Street      *string `gorm:"type:text" json:"street"`
	Locality    *string `gorm:"type:text" json:"locality"`
	Region      *string `gorm:"type:text" json:"region"`
	PostalCode  *string `gorm:"type:text" json:"postalCode"`
	Country     *string `gorm:"type:text" json:"country"`
	CountryCode *string `gorm:"type:varchar(2)" json:"countryCode"`
}

// postalV1 is an address in V1. customers and orders have the same five columns for it.
type postalV1 struct{ street, city, region, postalCode, country *string }

// Empty reports whether no part of the address is given.
func (p Postal) Empty() bool { return p == Postal{} }

func (p postalV1) empty() bool { return p == postalV1{} }

// Completed returns the address with both country and code, if one of them is given and known. The code comes from the
// country. The country comes from the code, in its usual spelling.
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

// validate returns an error if the country or its code is unknown, or if the two do not agree. path comes before the
// name of the field at fault.
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

// upgradePostal makes a V2 address of V1's. It fails if the country is unknown. The names are those of the country's
// field in V1 and in V2.
func upgradePostal(v1 postalV1, nameV1, nameV2 string) (Postal, error) {
	p := Postal{Street: v1.street, Locality: v1.city, Region: v1.region, PostalCode: v1.postalCode, Country: v1.country}
	code, known := countryCode(v1.country)
	if !known {
		return p, repo.Unconvertible(nameV1, nameV2, "unknown country %q", *v1.country)
	}
	p.CountryCode = code
	return p, nil
}

// mergePostal brings p up to V1's address. It keeps p's country code if the country is the same. It fails if the
// country is unknown. The names are those of the country's field in V1 and in V2.
func mergePostal(v1 postalV1, p Postal, nameV1, nameV2 string) (Postal, error) {
	fresh, err := upgradePostal(v1, nameV1, nameV2)
	if same(p.Country, fresh.Country) {
		fresh.CountryCode = p.CountryCode
	}
	return fresh, err
}

// downgradePostal makes a V1 address of V2's. It fails if the country code does not agree with the country, since V1
// keeps only the country. path comes before the name of V2's field.
func downgradePostal(p Postal, path string) (postalV1, error) {
	v1 := postalV1{p.Street, p.Locality, p.Region, p.PostalCode, p.Country}
	if code, known := countryCode(p.Country); known && !same(code, p.CountryCode) {
		return v1, repo.Faulty(path+"countryCode", "does not agree with the country, and V1 keeps only the country")
	}
	return v1, nil
}

// same compares what two pointers point to. nil equals only nil.
func same[T comparable](a, b *T) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

func element(list string, i int, field string) string {
	return list + "[" + strconv.Itoa(i) + "]." + field
}
