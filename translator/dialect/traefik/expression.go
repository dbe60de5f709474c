package traefik

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
)

// expressionMax bounds an expression, in bytes.
const expressionMax = 1024

// An expression is a condition of Traefik 1.7's circuit breaker or of its retries: comparisons and functions, joined by
// && and ||, in the syntax of Go (github.com/vulcand/predicate).
type expression interface{ text() string }

// joined is two conditions, of which both must hold, or with or set, one.
type joined struct {
	or          bool
	left, right expression
}

// comparison is a function's value against a number or a word.
type comparison struct {
	call call
	// operator is ==, !=, <, <=, > or >=.
	operator string
	// number is the value where word is empty.
	number float64
	word   string
}

// call is a function with its arguments.
type call struct {
	name      string
	arguments []float64
}

func (j joined) text() string {
	operator := " && "
	if j.or {
		operator = " || "
	}
	return j.left.text() + operator + j.right.text()
}

func (c comparison) text() string {
	value := c.word
	if value == "" {
		value = number(c.number)
	} else {
		value = strconv.Quote(value)
	}
	return c.call.text() + " " + c.operator + " " + value
}

func (c call) text() string {
	arguments := make([]string, len(c.arguments))
	for i, a := range c.arguments {
		arguments[i] = number(a)
	}
	return c.name + "(" + strings.Join(arguments, ", ") + ")"
}

func number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// functions are the functions of a kind of expression, and how many arguments each takes.
type functions map[string]int

// parseExpression reads an expression; the error says what is wrong with it in the words of the expression.
func parseExpression(text string, known functions) (expression, error) {
	if len(text) > expressionMax {
		return nil, fmt.Errorf("it is longer than %d bytes", expressionMax)
	}
	tree, err := parser.ParseExpr(text)
	if err != nil {
		return nil, errors.New("it is no expression")
	}
	return known.condition(tree)
}

func (f functions) condition(e ast.Expr) (expression, error) {
	switch e := e.(type) {
	case *ast.ParenExpr:
		return f.condition(e.X)
	case *ast.CallExpr:
		return f.call(e)
	case *ast.BinaryExpr:
		switch e.Op {
		case token.LAND, token.LOR:
			left, err := f.condition(e.X)
			if err != nil {
				return nil, err
			}
			right, err := f.condition(e.Y)
			return joined{or: e.Op == token.LOR, left: left, right: right}, err
		case token.EQL, token.NEQ, token.LSS, token.LEQ, token.GTR, token.GEQ:
			return f.comparison(e)
		}
		return nil, fmt.Errorf("%s joins no conditions", e.Op)
	}
	return nil, errors.New("a condition compares a function with a number")
}

func (f functions) comparison(e *ast.BinaryExpr) (expression, error) {
	function, ok := e.X.(*ast.CallExpr)
	if !ok {
		return nil, errors.New("on the left of a comparison stands a function")
	}
	c, err := f.call(function)
	if err != nil {
		return nil, err
	}
	out := comparison{call: c, operator: e.Op.String()}
	value, ok := e.Y.(*ast.BasicLit)
	switch {
	case ok && value.Kind == token.STRING:
		out.word, err = strconv.Unquote(value.Value)
	case ok && (value.Kind == token.INT || value.Kind == token.FLOAT):
		out.number, err = strconv.ParseFloat(value.Value, 64)
	default:
		err = fmt.Errorf("%s is compared with something that is no number", c.text())
	}
	return out, err
}

func (f functions) call(e *ast.CallExpr) (call, error) {
	name, ok := e.Fun.(*ast.Ident)
	if !ok {
		return call{}, errors.New("a function is called by its name")
	}
	count, known := f[name.Name]
	if !known {
		return call{}, fmt.Errorf("there is no function %s", name.Name)
	}
	if len(e.Args) != count {
		return call{}, fmt.Errorf("%s takes %d arguments, not %d", name.Name, count, len(e.Args))
	}
	out := call{name: name.Name}
	for _, a := range e.Args {
		literal, ok := a.(*ast.BasicLit)
		if !ok || literal.Kind != token.INT && literal.Kind != token.FLOAT {
			return call{}, fmt.Errorf("an argument of %s is no number", name.Name)
		}
		value, err := strconv.ParseFloat(literal.Value, 64)
		if err != nil {
			return call{}, fmt.Errorf("%s is no number", literal.Value)
		}
		out.arguments = append(out.arguments, value)
	}
	return out, nil
}
