package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/alwaysup/coexist/auth"
	"github.com/alwaysup/coexist/server"
)

// authFlags say whose credentials the server accepts. If none of them is set, everybody is an operator.
type authFlags struct {
	TokensFile    string `placeholder:"PATH" help:"A file that lists the valid tokens. Each line is NAME SHA-256 ROLE; coexist token makes such lines. Clients send a token as Authorization: Bearer TOKEN. The server notices a change within seconds. Default: none."`
	OIDCIssuer    string `name:"oidc-issuer" placeholder:"URL" help:"The OpenID Connect provider whose signed tokens are accepted. The server fetches its keys, and fetches them again when they change. Default: none."`
	OIDCAudience  string `name:"oidc-audience" placeholder:"NAME" help:"The audience that such a token must name: what the provider calls this server."`
	OIDCRoleClaim string `name:"oidc-role-claim" default:"roles" placeholder:"CLAIM" help:"The claim that names reader, writer or operator, as a list or as text. A path such as realm_access.roles leads into objects. Default: ${default}."`
}

// Validate checks the flags. kong calls it.
func (f *authFlags) Validate() error {
	switch {
	case f.OIDCIssuer == "" && f.OIDCAudience == "":
		return nil
	case f.OIDCIssuer == "" || f.OIDCAudience == "":
		return errors.New(
			"--oidc-issuer and --oidc-audience need each other: a token for another audience must not be good here")
	case f.OIDCRoleClaim == "":
		return errors.New("--oidc-role-claim is empty: name the claim that says reader, writer or operator")
	}
	if err := auth.CheckIssuer(f.OIDCIssuer); err != nil {
		return fmt.Errorf("--oidc-issuer is %w", err)
	}
	return nil
}

// authenticator returns an authenticator for the credentials that were configured. It fails if the tokens file cannot
// be used.
func (f *authFlags) authenticator(ctx context.Context, logger *slog.Logger) (*auth.Authenticator, error) {
	var verifiers []auth.Verifier
	if f.TokensFile != "" {
		tokens, err := auth.OpenTokenFile(f.TokensFile, logger)
		if err != nil {
			return nil, err
		}
		verifiers = append(verifiers, tokens)
	}
	if f.OIDCIssuer != "" {
		verifiers = append(verifiers, auth.NewProvider(ctx, auth.OIDC{
			Issuer: f.OIDCIssuer, Audience: f.OIDCAudience,
			RoleClaim: f.OIDCRoleClaim,
		}, logger))
	}
	return auth.New(verifiers...), nil
}

// accessFlags say which web pages of other origins may use the server, and how much one client may do.
type accessFlags struct {
	CORSOrigin          []string `name:"cors-origin" placeholder:"ORIGIN" sep:"," help:"Other origins whose pages may use the server, such as https://shop.example.org, separated by commas. * allows all origins and needs credentials. Default: only the server's own origin."`
	ClientRate          int      `default:"1000" placeholder:"N" help:"How many operations per second a client may send, over HTTP and sockets together. After a pause it may send a burst of as many. A client is the owner of a token or, without credentials, an address. 0 means no limit. Default: ${default}."`
	ClientOperations    int      `default:"200" placeholder:"N" help:"How many queries and mutations of one client may run at once. 0 means no limit. Default: ${default}."`
	ClientSubscriptions int      `default:"200" placeholder:"N" help:"How many subscriptions one client may have at once, and how many sockets. 0 means no limit. Default: ${default}."`
}

// options returns the server's options, except those that authFlags set.
func (f *accessFlags) options() server.Options {
	return server.Options{
		Origins: f.CORSOrigin,
		Limits: server.Limits{
			Rate: f.ClientRate, Operations: f.ClientOperations,
			Subscriptions: f.ClientSubscriptions,
		},
	}
}

// Validate checks the flags. kong calls it. Whether the flags need credentials is checked later, when those are known.
func (f *accessFlags) Validate() error { return f.options().Validate() }

// tokenCommand is `coexist token`.
type tokenCommand struct {
	Name string `arg:"" help:"Who the token is for. The history of phase changes and runs keeps this name as the actor."`
	Role string `arg:"" enum:"reader,writer,operator" help:"What the token allows: a reader reads rows, a writer also writes them, an operator also sees and changes migrations."`
}

// Run makes a token. It prints the line for --tokens-file to standard output and the token itself, which is stored
// nowhere, to standard error.
func (c *tokenCommand) Run(_ context.Context, env *environment) error {
	role, err := auth.ParseRole(c.Role)
	if err != nil {
		return err
	}
	token, line, err := auth.NewToken(c.Name, role)
	if err != nil {
		return err
	}
	fmt.Fprintf(env.stderr, "The token of %s, which is shown only here: %s\n", c.Name, token)
	_, err = fmt.Fprintln(env.stdout, line)
	return err
}
