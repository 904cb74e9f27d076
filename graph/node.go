package graph

// Node is any type that has a global id. The engine's types are among them, which know no GraphQL.
type Node any
