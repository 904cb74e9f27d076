package repo

import (
	"context"
	"errors"
	"reflect"
)

// The internal read is the one read behind everything that needs an aggregate in the V2 shape: Get, GetMany, lists,
// every write, the sweep, repair and rehearsal. One statement (readStatement) has already read the copy, its marks and
// V1, so every decision here is about one moment. The steps are numbered as in docs/architecture.md. The code between
// "Coexistence begins" and "Coexistence ends" will be removed one day, and the read will not change: make check-end
// proves it.

// internalRead answers for the key that s has seen. It fails with ErrNotFound, and with a *ConversionError where V1
// cannot be converted. A record whose Copy is not Stored was converted: the caller stores it (step 5) in its own
// transaction.
func (r *Repository[V1, V2]) internalRead(s *seen[V1, V2]) (Record[V2], error) {
	if s.fresh() { // 1. the copy, if it is fresh,
		return s.record(), nil
	}
	// Coexistence begins.
	if s.hasV1() { // 2. else V1,
		c, err := r.convert(s) // 3. converted
		if err == nil {
			err = r.prove(*s.v1, c.Value) // 4. and proven;
		}
		if err != nil {
			return Record[V2]{}, r.conversionError(s.key, err)
		}
		return c, nil
	}
	// Coexistence ends.
	return Record[V2]{}, ErrNotFound
}

// answer is the internal read of many keys. Keys that are not found have no answer.
func (r *Repository[V1, V2]) answer(ctx context.Context, read []*seen[V1, V2],
	origin Origin,
) map[string]Result[Record[V2]] {
	answers := make(map[string]Result[Record[V2]], len(read))
	for _, s := range read {
		if record, err := r.internalRead(s); !errors.Is(err, ErrNotFound) {
			answers[s.key] = Result[Record[V2]]{record, err}
		}
	}
	// Coexistence begins.
	r.storeAnswers(ctx, read, answers, origin) // 5. stored
	// Coexistence ends.
	return answers
}

// Coexistence begins.

// convert converts V1. Without a refined copy it upgrades, so that an unrefined copy is always what Upgrade makes of
// V1.
func (r *Repository[V1, V2]) convert(s *seen[V1, V2]) (c Record[V2], err error) {
	if s.v1Err != nil {
		return c, s.v1Err
	}
	older := s.copy.MappingVersion < r.mappingVersion
	switch {
	case !s.state.hasCopy, s.state.gone(), !s.copy.Refined: // a copy that nobody refined holds nothing that V1 lacks
		c = conversion(c.Value, false, r.mappingVersion)
		c.Value, err = r.mapping.Upgrade(*s.v1)
	case older && r.mapping.remigrates():
		c = conversion(c.Value, true, r.mappingVersion)
		c.Value, err = r.mapping.Remigrate(*s.v1, *s.v2, s.copy.MappingVersion)
	default:
		c = conversion(c.Value, true, s.copy.MappingVersion)
		c.Value, err = r.mapping.Merge(*s.v1, *s.v2)
	}
	c.Key, c.Version = s.key, s.state.currentVersion()
	return c, err
}

// storeAnswers stores what a read has converted, quarantines what it could not convert, and records in the answers
// which copies it stored.
func (r *Repository[V1, V2]) storeAnswers(ctx context.Context, read []*seen[V1, V2],
	answers map[string]Result[Record[V2]], origin Origin,
) {
	var items []pending
	var failures []failure
	var f fence
	for _, s := range read {
		answer, found := answers[s.key]
		switch {
		case !found || answer.Value.Copy.Stored:
			continue
		case answer.Err == nil:
			items = append(items, r.pending(s, answer.Value))
		case !s.quarantined:
			failures = append(failures, newFailure(s.key, s.state, answer.Err))
		}
		f = s.fence
	}
	stored, at := r.copies.storeLazily(ctx, f, items, failures, origin)
	for key := range stored {
		answer := answers[key]
		answer.Value.Copy.Stored, answer.Value.Copy.Origin, answer.Value.Copy.MigratedAt = true, origin, parseTime(at)
		answers[key] = answer
	}
}

// Coexistence ends.

// conversion is the record of a value that is not stored yet, made by a version of the mapping.
func conversion[V2 any](value V2, refined bool, mappingVersion int) Record[V2] {
	return Record[V2]{Value: value, Copy: Copy{Refined: refined, MappingVersion: mappingVersion}}
}

// pending is the conversion c of what s has seen, ready to be stored.
func (r *Repository[V1, V2]) pending(s *seen[V1, V2], c Record[V2]) pending {
	p := pending{
		key: s.key, value: reflect.ValueOf(&c.Value).Elem(), state: s.state, version: s.state.currentVersion(),
		mappingVersion: c.Copy.MappingVersion, refined: c.Copy.Refined, quarantined: s.quarantined,
	}
	if s.state.hasCopy && s.v2 != nil {
		p.before = reflect.ValueOf(s.v2).Elem()
	}
	return p
}
