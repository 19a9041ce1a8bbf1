package bridgeclient

import (
	"encoding/json"
	"fmt"

	"github.com/polyglot-bridge/polyglot-bridge/clients/go/bridgev1"
)

// Role is who wrote a turn of a conversation.
type Role string

// The roles that there are.
const (
	RoleSystem    Role = "system"
	RoleUser      Role = "user"
	RoleAssistant Role = "assistant"
	RoleTool      Role = "tool"
)

var roles = map[Role]bridgev1.Role{
	RoleSystem: bridgev1.Role_ROLE_SYSTEM, RoleUser: bridgev1.Role_ROLE_USER,
	RoleAssistant: bridgev1.Role_ROLE_ASSISTANT, RoleTool: bridgev1.Role_ROLE_TOOL,
}

// Message is one turn of a conversation.
type Message struct {
	Role    Role
	Content string
	// ToolCalls are the calls that the model asked for, on a turn of the model.
	ToolCalls []ToolCall
	// ToolCallID is the call that a turn of a tool answers.
	ToolCallID string
	// Images are what a turn of the user has beside its text.
	Images []Image
}

// ToolCall is a model's wish that a tool be called. The model wrote the arguments, JSON: they may not fit the schema.
type ToolCall struct{ ID, Name, Arguments string }

// Image is an image that a model is shown: bytes, or an address, which the bridge never fetches.
type Image struct {
	URL       string
	Data      []byte
	MediaType string
	// Detail is how closely the model is to look: "low", "high", or empty for its own way.
	Detail string
}

// ModelTool is a function that a model may ask to be called. The caller calls it.
type ModelTool struct {
	Name, Description string
	// Parameters is the JSON Schema of the arguments: JSON, a map, or nil for none. See SchemaOf.
	Parameters any
}

// Prompt returns a conversation of one turn of the user.
func Prompt(text string) []Message { return []Message{User(text)} }

// User returns a turn of the user.
func User(text string) Message { return Message{Role: RoleUser, Content: text} }

// System returns instructions to the model.
func System(text string) Message { return Message{Role: RoleSystem, Content: text} }

func wireMessages(messages []Message) ([]*bridgev1.Message, error) {
	made := make([]*bridgev1.Message, len(messages))
	for number, one := range messages {
		role, known := roles[one.Role]
		if !known {
			return nil, fmt.Errorf("bridgeclient: expected a role of system, user, assistant or tool at messages[%d], got %q", number, one.Role)
		}
		turn := &bridgev1.Message{Role: role, Content: one.Content, ToolCallId: one.ToolCallID}
		for _, call := range one.ToolCalls {
			turn.ToolCalls = append(turn.ToolCalls, &bridgev1.ToolCall{Id: call.ID, Name: call.Name, Arguments: call.Arguments})
		}
		for _, image := range one.Images {
			turn.Parts = append(turn.Parts, &bridgev1.ContentPart{Part: &bridgev1.ContentPart_Image{Image: image.wire()}})
		}
		made[number] = turn
	}
	return made, nil
}

func (i Image) wire() *bridgev1.ImageInput {
	details := map[string]bridgev1.ImageDetail{
		"low": bridgev1.ImageDetail_IMAGE_DETAIL_LOW, "high": bridgev1.ImageDetail_IMAGE_DETAIL_HIGH,
	}
	made := &bridgev1.ImageInput{MediaType: i.MediaType, Detail: details[i.Detail]}
	if i.URL != "" {
		made.Source = &bridgev1.ImageInput_Url{Url: i.URL}
	} else {
		made.Source = &bridgev1.ImageInput_Data{Data: i.Data}
	}
	return made
}

func wireTools(tools []ModelTool) ([]*bridgev1.Tool, error) {
	made := make([]*bridgev1.Tool, len(tools))
	for number, one := range tools {
		schema, err := schemaText(one.Parameters)
		if err != nil {
			return nil, fmt.Errorf("bridgeclient: the parameters of tool %s: %w", one.Name, err)
		}
		made[number] = &bridgev1.Tool{Name: one.Name, Description: one.Description, ParametersSchema: schema}
	}
	return made, nil
}

// schemaText returns a schema as JSON text.
func schemaText(schema any) (string, error) {
	switch typed := schema.(type) {
	case nil:
		return "", nil
	case string:
		return typed, nil
	case []byte:
		return string(typed), nil
	default:
		text, err := json.Marshal(schema)
		return string(text), err
	}
}

func (w *wishes) generation() *bridgev1.GenerationOptions {
	return &bridgev1.GenerationOptions{
		Temperature: w.temperature, TopP: w.topP, MaxTokens: w.maxTokens, Stop: w.stop, Seed: w.seed,
	}
}
