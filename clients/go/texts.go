package bridgeclient

import (
	"context"

	"github.com/polyglot-bridge/polyglot-bridge/clients/go/bridgev1"
)

func (o callOptions) withEmbed(options []EmbedOption) *callOptions {
	used := o.with(nil)
	for _, one := range options {
		one.embed(used)
	}
	return used
}

// Embeddings has one vector for each text, in the order of the texts.
type Embeddings struct {
	Vectors    [][]float32
	Model      string
	Dimensions uint32
}

// Embed turns texts into vectors.
func (c *Client) Embed(ctx context.Context, texts []string, options ...EmbedOption) (*Embeddings, error) {
	used := c.defaults.withEmbed(options)
	request := &bridgev1.EmbedRequest{Model: used.wishes.model, Texts: texts}
	if used.wishes.notNormalized {
		never := false
		request.Normalize = &never
	}
	reply, _, err := unary(ctx, c, used, c.embeddings.Embed, request)
	if err != nil {
		return nil, err
	}
	made := &Embeddings{Model: reply.GetModel(), Dimensions: reply.GetDimensions()}
	for _, one := range reply.GetEmbeddings() {
		made.Vectors = append(made.Vectors, one.GetValues())
	}
	return made, nil
}

// Similarity compares each text of the left with each of the right: one row for each left text, with one score for each
// right one.
func (c *Client) Similarity(ctx context.Context, left, right []string, options ...EmbedOption) ([][]float32, error) {
	return c.similarity(ctx, &bridgev1.SimilarityRequest{Left: left, Right: right}, options)
}

// PairSimilarity compares the first text with the first, the second with the second.
func (c *Client) PairSimilarity(ctx context.Context, left, right []string, options ...EmbedOption) ([]float32, error) {
	rows, err := c.similarity(ctx, &bridgev1.SimilarityRequest{Left: left, Right: right, Pairwise: true}, options)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return rows[0], nil
}

func (c *Client) similarity(ctx context.Context, request *bridgev1.SimilarityRequest, options []EmbedOption) ([][]float32, error) {
	used := c.defaults.withEmbed(options)
	request.Model = used.wishes.model
	reply, _, err := unary(ctx, c, used, c.embeddings.Similarity, request)
	if err != nil {
		return nil, err
	}
	var rows [][]float32
	for _, row := range reply.GetRows() {
		rows = append(rows, row.GetScores())
	}
	return rows, nil
}

// Score is a metric's result.
type Score struct {
	// Value is in the metric's own range.
	Value float64
	// Details are the parts that it is made from, such as precision and recall.
	Details map[string]float64
	// Parameters are those that were used, as JSON; Signature is the library's, which makes the score reproducible. Those
	// of a batch are in its BatchScore.
	Parameters, Signature string
}

// BatchScore has the scores of many predictions, and the score of all together.
type BatchScore struct {
	Scores                []Score
	Aggregate             Score
	Parameters, Signature string
}

func readScore(found *bridgev1.MetricScore) Score {
	return Score{Value: found.GetValue(), Details: found.GetDetails()}
}

// Score scores a prediction by its right answers. The metric's parameters are a map, a struct, JSON, or nil for its own.
func (c *Client) Score(ctx context.Context, metric, prediction string, references []string, parameters any, options ...CallOption) (*Score, error) {
	text, err := schemaText(parameters)
	if err != nil {
		return nil, err
	}
	example := &bridgev1.ScoredExample{Prediction: prediction, References: references}
	request := &bridgev1.ScoreRequest{Metric: metric, Example: example, Parameters: text}
	reply, _, err := unary(ctx, c, c.defaults.with(options), c.metrics.Score, request)
	if err != nil {
		return nil, err
	}
	made := readScore(reply.GetScore())
	made.Parameters, made.Signature = reply.GetParameters(), reply.GetSignature()
	return &made, nil
}

// Example is a prediction and what it should have been.
type Example struct {
	Prediction string
	References []string
}

// ScoreBatch scores many predictions, each by itself and all together.
func (c *Client) ScoreBatch(ctx context.Context, metric string, examples []Example, parameters any, options ...CallOption) (*BatchScore, error) {
	text, err := schemaText(parameters)
	if err != nil {
		return nil, err
	}
	request := &bridgev1.ScoreBatchRequest{Metric: metric, Parameters: text}
	for _, one := range examples {
		request.Examples = append(request.Examples, &bridgev1.ScoredExample{Prediction: one.Prediction, References: one.References})
	}
	reply, _, err := unary(ctx, c, c.defaults.with(options), c.metrics.ScoreBatch, request)
	if err != nil {
		return nil, err
	}
	made := &BatchScore{
		Aggregate: readScore(reply.GetAggregate()), Parameters: reply.GetParameters(), Signature: reply.GetSignature(),
	}
	for _, one := range reply.GetScores() {
		made.Scores = append(made.Scores, readScore(one))
	}
	return made, nil
}

// Metrics returns the metrics and what they need.
func (c *Client) Metrics(ctx context.Context, options ...CallOption) ([]*MetricInfo, error) {
	reply, _, err := unary(ctx, c, c.defaults.with(options), c.metrics.ListMetrics, &bridgev1.ListMetricsRequest{})
	return reply.GetMetrics(), err
}
