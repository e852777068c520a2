package demo

import (
	"context"
	"errors"
)

// issueToken asks for a one-time token for a new web machine.
func (s *story) issueToken(ctx context.Context) (string, error) {
	doc, err := s.post(ctx, "/api/machines/registration-tokens", map[string]any{
		"Name": "A new web machine", "EnvironmentIds": []string{staging, production}, "Roles": []string{"web"},
	})
	if err != nil {
		return "", err
	}
	if doc.Text("Token") == "" {
		return "", errors.New("the server issued no token")
	}
	return doc.Text("Token"), nil
}
