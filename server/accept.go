package server

import (
	"mime"
	"strconv"
	"strings"
)

// answerForm is the form of an answer, which a client may choose.
type answerForm int

const (
	plainJSON answerForm = iota
	responseJSON
	eventStream
	answerForms // the number of forms
)

func (f answerForm) mediaType() string {
	return [...]string{"application/json", "application/graphql-response+json", "text/event-stream"}[f]
}

// negotiate picks the form that the lines of an Accept header prefer. The highest weight wins, and among equal weights
// the form that is named first. A client that sends no Accept header gets application/json. It returns false if the
// client accepts none of the forms.
func negotiate(lines []string) (answerForm, bool) {
	accept := strings.Join(lines, ",")
	if strings.TrimSpace(accept) == "" {
		return plainJSON, true
	}
	ranges := strings.Split(accept, ",")
	best, bestWeight, bestPlace := plainJSON, 0.0, len(ranges)
	for form := range answerForms {
		weight, place := judge(ranges, form)
		if weight > bestWeight || weight > 0 && weight == bestWeight && place < bestPlace {
			best, bestWeight, bestPlace = form, weight, place
		}
	}
	return best, bestWeight > 0
}

// judge returns the weight of a form and the place where it is named. Both come from the most specific range that
// matches (RFC 9110, section 12.5.1). A range with an asterisk never asks for a stream.
func judge(ranges []string, form answerForm) (weight float64, place int) {
	specific := 0
	for i, text := range ranges {
		mediaRange, parameters, err := mime.ParseMediaType(text)
		if err != nil {
			continue
		}
		s := 0
		switch {
		case mediaRange == form.mediaType():
			s = 3
		case form == eventStream:
		case mediaRange == "application/*":
			s = 2
		case mediaRange == "*/*":
			s = 1
		}
		if s > specific {
			specific, weight, place = s, quality(parameters["q"]), i
		}
	}
	return weight, place
}

// quality reads a weight. It returns 1 for an empty text, and 0 if the text is not a number from 0 to 1.
func quality(text string) float64 {
	if text == "" {
		return 1
	}
	q, err := strconv.ParseFloat(text, 64)
	if err != nil || !(q >= 0 && q <= 1) {
		return 0
	}
	return q
}
