package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/alwaysup/coexist/auth"
	"github.com/alwaysup/coexist/server"
)

// authFlags say whose credentials are good. Without any everybody is an operator.
type authFlags struct {
	TokensFile    string `placeholder:"PATH" help:"A file of lines NAME SHA-256 ROLE: who may send which token, as Authorization: Bearer TOKEN, and what for. The command token makes such lines. A change is seen within seconds. Default: none."`
	OIDCIssuer    string `name:"oidc-issuer" placeholder:"URL" help:"The OpenID Connect provider whose signed tokens are good. Its keys are fetched, and again when they change. Default: none."`
	OIDCAudience  string `name:"oidc-audience" placeholder:"NAME" help:"The audience that such a token must be for: what the provider calls this server."`
	OIDCRoleClaim string `name:"oidc-role-claim" default:"roles" placeholder:"CLAIM" help:"The claim that names reader, writer or operator, in a list or a text; a path such as realm_access.roles leads into objects. Default: ${default}."`
}

// Validate is called by kong.
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

// authenticator knows the credentials that were configured.
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

// accessFlags say which web pages of other origins may use the server, and what one client may do.
type accessFlags struct {
	CORSOrigin          []string `name:"cors-origin" placeholder:"ORIGIN" sep:"," help:"Origins whose pages may use the server, such as https://shop.example.org, separated by commas; * for all, which needs credentials. Default: none but the server's own."`
	ClientRate          int      `default:"1000" placeholder:"N" help:"How many operations a second a client may send, over HTTP and sockets together; as many more at once after a pause. A client is the name of a token, without credentials an address. 0 for any number. Default: ${default}."`
	ClientOperations    int      `default:"200" placeholder:"N" help:"How many queries and mutations of a client may run at once; 0 for any number. Default: ${default}."`
	ClientSubscriptions int      `default:"200" placeholder:"N" help:"How many subscriptions a client may have at once, and how many sockets; 0 for any number. Default: ${default}."`
}

// options are the server's, without those that authFlags say.
func (f *accessFlags) options() server.Options {
	return server.Options{
		Origins: f.CORSOrigin,
		Limits: server.Limits{
			Rate: f.ClientRate, Operations: f.ClientOperations,
			Subscriptions: f.ClientSubscriptions,
		},
	}
}

// Validate is called by kong. Whether credentials are needed is not known yet.
func (f *accessFlags) Validate() error { return f.options().Validate() }

// tokenCommand is `coexist token`.
type tokenCommand struct {
	Name string `arg:"" help:"Who it is for: kept as the actor of phase changes and runs."`
	Role string `arg:"" enum:"reader,writer,operator" help:"What it allows: reader reads rows, writer writes them too, operator sees and changes migrations too."`
}

// Run makes a token. Its line for --tokens-file goes to standard output, the token itself, which is kept nowhere, to
// standard error.
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
