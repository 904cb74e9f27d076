// Package database speaks SQL without a protocol: pools of connections, sessions that send statements, templates in
// which statements are written, what the errors of both databases mean and what to try again, and the two dialects: the
// spelling of values and keys, what the catalogs say of tables, and COPY. It knows no entity, no phase and no mark.
package database
