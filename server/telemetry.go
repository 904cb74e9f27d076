package server

import (
	"context"
	"net/http"

	"github.com/99designs/gqlgen/graphql"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/alwaysup/coexist/repo"
)

// telemetry counts GraphQL operations, as an extension of the GraphQL server. Its labels have few values, whatever
// clients send.
type telemetry struct {
	registry *prometheus.Registry
	http     *prometheus.CounterVec
	requests *prometheus.CounterVec
	errors   *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

func newTelemetry() *telemetry {
	t := &telemetry{
		registry: prometheus.NewRegistry(),
		http: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "coexist_http_requests_total",
			Help: "HTTP requests by status, those that were refused too. A stream counts when it ends.",
		}, []string{"code"}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "coexist_graphql_requests_total",
			Help: "GraphQL requests by operation: query, mutation, subscription, or invalid.",
		}, []string{"operation"}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "coexist_graphql_errors_total", Help: "Errors in GraphQL answers, by their code.",
		}, []string{"code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "coexist_graphql_request_duration_seconds", Help: "How long queries and mutations took.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"operation"}),
	}
	t.registry.MustRegister(t.http, t.requests, t.errors, t.duration,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return t
}

// handler returns the handler of /metrics.
func (t *telemetry) handler() http.Handler {
	return promhttp.HandlerFor(t.registry, promhttp.HandlerOpts{Registry: t.registry})
}

// count counts the requests that next answers.
func (t *telemetry) count(next http.Handler) http.Handler {
	return promhttp.InstrumentHandlerCounter(t.http, next)
}

// ExtensionName is part of gqlgen's interface.
func (*telemetry) ExtensionName() string { return "Telemetry" }

// Validate is part of gqlgen's interface.
func (*telemetry) Validate(graphql.ExecutableSchema) error { return nil }

// InterceptOperation counts each operation that is executed.
func (t *telemetry) InterceptOperation(ctx context.Context, next graphql.OperationHandler) graphql.ResponseHandler {
	t.requests.WithLabelValues(string(graphql.GetOperationContext(ctx).Operation.Operation)).Inc()
	return next(ctx)
}

// InterceptResponse measures queries and mutations. It counts errors, and requests that are not executed.
func (t *telemetry) InterceptResponse(ctx context.Context, next graphql.ResponseHandler) *graphql.Response {
	response := next(ctx)
	if response == nil {
		return nil
	}
	for _, err := range response.Errors {
		code, _ := err.Extensions["code"].(string)
		t.errors.WithLabelValues(code).Inc()
	}
	operation := graphql.GetOperationContext(ctx)
	switch {
	case operation.Operation == nil:
		t.requests.WithLabelValues("invalid").Inc()
	case operation.Operation.Operation != ast.Subscription:
		t.duration.WithLabelValues(string(operation.Operation.Operation)).Observe(
			graphql.Now().Sub(operation.Stats.OperationStart).Seconds())
	}
	return response
}

// storeFailures reports, as metrics, copies that cannot be stored.
type storeFailures struct{ control *repo.Control }

var (
	storeFailuresMetric = prometheus.NewDesc("coexist_copy_store_failures_total",
		"Stores of copies that failed for a technical reason, such as a missing right or a full disk.",
		[]string{"entity"}, nil)
	storeFailingMetric = prometheus.NewDesc("coexist_copy_store_failing",
		"1 while the last store of copies failed for a technical reason.", []string{"entity"}, nil)
)

// Describe is part of Prometheus's interface.
func (storeFailures) Describe(metrics chan<- *prometheus.Desc) {
	metrics <- storeFailuresMetric
	metrics <- storeFailingMetric
}

// Collect is part of Prometheus's interface.
func (s storeFailures) Collect(metrics chan<- prometheus.Metric) {
	for _, f := range s.control.StoreFailures() {
		failing := 0.0
		if f.FailingSince != nil {
			failing = 1
		}
		metrics <- prometheus.MustNewConstMetric(storeFailuresMetric, prometheus.CounterValue,
			float64(f.Total), f.Entity)
		metrics <- prometheus.MustNewConstMetric(storeFailingMetric, prometheus.GaugeValue, failing, f.Entity)
	}
}

// unavailableTotal counts errors with the code UNAVAILABLE by their cause, as a metric.
type unavailableTotal struct{ troubles *troubles }

var unavailableMetric = prometheus.NewDesc("coexist_unavailable_total",
	"Errors with the code UNAVAILABLE, by their cause.", []string{"cause"}, nil)

// Describe is part of Prometheus's interface.
func (unavailableTotal) Describe(metrics chan<- *prometheus.Desc) { metrics <- unavailableMetric }

// Collect is part of Prometheus's interface.
func (u unavailableTotal) Collect(metrics chan<- prometheus.Metric) {
	for cause, total := range u.troubles.total() {
		metrics <- prometheus.MustNewConstMetric(unavailableMetric, prometheus.CounterValue,
			float64(total), string(cause))
	}
}
